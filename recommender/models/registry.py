"""The list of models, and how a model is named: `NAME`, or `NAME/option=value/option=value`.

A model is a class whose constructor takes the `ModelContext` and keyword-only options. The options'
annotations (`int`, `float`, `str`, `bool`) and defaults say how a spec's text is read; the constructor
itself refuses values out of range with a `ModelError`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from recommender.models.base import Model, ModelContext
from recommender.models.options import ModelError

__all__ = ["ModelError", "canonical", "check", "create", "describe", "warm"]


# Name: (module, class, one line). Modules are imported when their model is made, so a model costs
# nothing to those who do not use it.
_MODELS: dict[str, tuple[str, str, str]] = {
    "blend": (
        "blend.blend",
        "Blend",
        "sequence neighbours, co-occurrence and popularity, weighted as the stream teaches",
    ),
    "sequence-knn": (
        "sequence.sequence_knn",
        "SequenceKNN",
        "sequence neighbours: users whose histories hold your newest items close together",
    ),
    "item-knn": (
        "sequence.item_knn",
        "ItemKNN",
        "co-occurrence with recency: what stands near your newest items",
    ),
    "user-knn": ("user_knn", "UserKNN", "ratings predicted from the users who rate most like you"),
    "bpr": ("factors.bpr", "BPR", "FluRS' BPRMF with its signs mended: factors that learn to rank"),
    "popular": ("popular", "Popular", "the items that most users rate positively, of all time"),
    "popular-recent": ("popular", "PopularRecent", "the same with old ratings fading: half_life in events"),
    "mf": (
        "factors.mf",
        "MF",
        "FluRS' incremental matrix factorization, as a compiled loop over growing arrays",
    ),
    "cooc": ("cooccurrence.cooc", "Cooc", "how often an item was liked together with what the user likes"),
    "cosine": (
        "cooccurrence.cosine",
        "Cosine",
        "incremental item cosine: the same, by how often both were liked",
    ),
    "knn-baseline": (
        "knn_baseline.model",
        "KNNBaselineModel",
        "Surprise's KNNBaseline, adapting to each rating at once",
    ),
    "random": ("random", "Random", "a fixed random order for each user: the floor to measure against"),
}
_FLURS = "flurs:"
_FLURS_LINE = (
    "any FluRS recommender behind guards: flurs:mf, flurs:bprmf, flurs:user-knn, flurs:fm, flurs:sketch"
)


def describe() -> list[tuple[str, str]]:
    """Each model's name and what it is in one line."""
    return [*((name, line) for name, (_, _, line) in _MODELS.items()), (f"{_FLURS}NAME", _FLURS_LINE)]


def create(spec: str, context: ModelContext) -> Model:
    """Make the model that a spec names.

    Parameters
    ----------
    spec : str
        `NAME` or `NAME/option=value/...`, for example `sequence-knn/raters=128`.
    context : ModelContext
        History, seed and what counts as positive.

    Raises
    ------
    ModelError
        The name, an option or a value is not understood; the message says what is.
    """
    name, *settings = spec.split("/")
    make, label = _factory(name.strip())
    return make(context, **_options(label, make, settings))


def check(spec: str) -> None:
    """Raise the `ModelError` that `create` would raise, without a shard."""
    from recommender.history.history import History

    create(spec, ModelContext(History()))


def canonical(spec: str) -> str:
    """A spec in one spelling: options that have their default left out, the others by name.

    Raises
    ------
    ModelError
        As for `create`.
    """
    name, *settings = spec.split("/")
    make, label = _factory(name.strip())
    defaults = inspect.signature(make).parameters
    options = _options(label, make, settings)
    changed = {option: value for option, value in options.items() if value != defaults[option].default}
    return "/".join([label, *(f"{option}={value}" for option, value in sorted(changed.items()))])


def warm(specs: Sequence[str] = ()) -> None:
    """Compile, or load from the cache, the kernels of these models; of all by default."""
    for name, (module, _, _) in _MODELS.items():
        if specs and not any(spec.split("/")[0] == name for spec in specs):
            continue
        prepare = getattr(importlib.import_module(f"recommender.models.{module}"), "warm", None)
        if prepare is not None:
            prepare()


def _factory(name: str) -> tuple[Callable[..., Model], str]:
    if name.lower().startswith(_FLURS):
        from recommender.models.flurs import adapter

        return adapter.factory(name[len(_FLURS) :]), name
    if name not in _MODELS:
        raise ModelError(_unknown("model", name, [known for known, _ in describe()]))
    module, cls, _ = _MODELS[name]
    make: Callable[..., Model] = getattr(importlib.import_module(f"recommender.models.{module}"), cls)
    return make, name


def _options(name: str, make: Callable[..., Model], settings: list[str]) -> dict[str, Any]:
    known = {
        parameter.name: parameter
        for parameter in inspect.signature(make, eval_str=True).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    options: dict[str, Any] = {}
    for setting in settings:
        option, equals, text = setting.partition("=")
        option = option.strip().replace("-", "_")
        if not equals:
            raise ModelError(f"model {name}: {setting!r} is not an option; expected option=value")
        if option not in known:
            raise ModelError(_unknown(f"option of {name}", option, list(known)))
        if option in options:
            raise ModelError(f"model {name}: option {option} is given twice")
        options[option] = _value(name, option, text.strip(), known[option].annotation)
    return options


def _value(name: str, option: str, text: str, kind: type) -> int | float | str | bool:
    if kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() not in words:
            raise ModelError(f"model {name}: {option} has value {text!r}: expected true or false")
        return words[text.lower()]
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise ModelError(f"model {name}: {option} has value {text!r}: not an integer") from None
    if kind is float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ModelError(f"model {name}: {option} has value {text!r}: not a finite number")
        return number
    return text


def _unknown(what: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown {what}: {name!r}{hint} Known: {', '.join(known) or 'none'}"

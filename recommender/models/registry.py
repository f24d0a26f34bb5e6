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


# Name: (module, class, one line, recall@10). Modules are imported when their model is made, so a model costs
# nothing to those who do not use it. The line says what it is for. Recall is that of `recommender evaluate
# ml-100k --positive 5` with the default options; on a user's ten best of about 1,600 items a random order
# has .007.
_MODELS: dict[str, tuple[str, str, str, float]] = {
    "blend": (
        "blend.blend",
        "Blend",
        "for lists of any kind: sequence neighbours, co-occurrence and popularity, as the stream teaches",
        0.277,
    ),
    "sequence-knn": (
        "sequence.sequence_knn",
        "SequenceKNN",
        "for histories with an order: users whose histories hold your newest items close together",
        0.268,
    ),
    "item-knn": (
        "sequence.item_knn",
        "ItemKNN",
        "for what goes together: co-occurrence with recency, what stands near your newest items",
        0.257,
    ),
    "mf": (
        "factors.mf",
        "MF",
        "for quick answers from large catalogues: incremental matrix factorization with negatives",
        0.196,
    ),
    "cosine": (
        "cooccurrence.cosine",
        "Cosine",
        "for long tastes: incremental item cosine, who likes an item likes the other too",
        0.191,
    ),
    "cooc": (
        "cooccurrence.cooc",
        "Cooc",
        "for a baseline arm: how often an item was liked together with what the user likes",
        0.163,
    ),
    "bpr": (
        "factors.bpr",
        "BPR",
        "for comparison: FluRS' BPRMF with its sign error fixed, factors that learn to rank",
        0.160,
    ),
    "popular-recent": (
        "popular",
        "PopularRecent",
        "for news and fashions: popularity with old ratings fading, half_life in events",
        0.130,
    ),
    "popular": (
        "popular",
        "Popular",
        "for a baseline: the items that most users rate positively, of all time",
        0.125,
    ),
    "knn-baseline": (
        "knn_baseline.model",
        "KNNBaselineModel",
        "for estimated ratings of given items: Surprise's KNNBaseline, adapting at once; weak for lists",
        0.085,
    ),
    "user-knn": (
        "user_knn",
        "UserKNN",
        "for estimated ratings from the users who rate most like you; far behind popularity for lists",
        0.020,
    ),
    "random": (
        "random",
        "Random",
        "for a floor to measure against: a fixed random order for each user",
        0.007,
    ),
}
#: The recall that others are compared with in the list.
_POPULARITY = _MODELS["popular"][3]
_FLURS = "flurs:"
_FLURS_LINE = (
    "for comparison: any FluRS recommender behind guards, all far behind popularity: flurs:mf, flurs:bprmf, "
    "flurs:user-knn, flurs:fm, flurs:sketch"
)


def describe() -> list[tuple[str, str]]:
    """Each model's name and what it is for in one line, the best for lists first."""
    return [*((name, line) for name, (_, _, line, _) in _MODELS.items()), (f"{_FLURS}NAME", _FLURS_LINE)]


def measured(name: str) -> tuple[float, float] | None:
    """The recall@10 of a model on MovieLens 100K, and how many times that of popularity; None if unknown."""
    if name not in _MODELS:
        return None
    recall = _MODELS[name][3]
    return recall, recall / _POPULARITY


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
    make: Callable[..., Model] = _class_of(name.strip())
    return make(context, **_options(name.strip(), make, settings))


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
    label = name.strip()
    make = _class_of(label)
    defaults = inspect.signature(make).parameters
    options = _options(label, make, settings)
    changed = {option: value for option, value in options.items() if value != defaults[option].default}
    return "/".join([label, *(f"{option}={value}" for option, value in sorted(changed.items()))])


def warm(specs: Sequence[str] = ()) -> None:
    """Compile, or load from the cache, the kernels of these models; of all by default."""
    for cls in _classes_of(specs):
        cls.warm()


def warm_longest(specs: Sequence[str] = ()) -> None:
    """Compile, or load from the cache, those kernels of these models that take longest."""
    for cls in _classes_of(specs):
        cls.warm_longest()


def _classes_of(specs: Sequence[str]) -> list[type[Model]]:
    """The kinds of these models, each once; all by default."""
    named = {spec.split("/")[0] for spec in specs}
    return [_class_of(name) for name in _MODELS if not specs or name in named]


def _class_of(name: str) -> type[Model]:
    if name.lower().startswith(_FLURS):
        from recommender.models.flurs.models import named

        return named(name[len(_FLURS) :])
    if name not in _MODELS:
        raise ModelError(_unknown("model", name, [known for known, _ in describe()]))
    module, cls, *_ = _MODELS[name]
    made: type[Model] = getattr(importlib.import_module(f"recommender.models.{module}"), cls)
    return made


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

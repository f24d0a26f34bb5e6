"""The rules that every model must keep, whichever it is."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

import pytest

from recommender.history.history import History
from recommender.models import registry
from recommender.models.base import Model, ModelContext
from recommender.models.testing import CHECKS, Factory, random_log

OWN = [name for name, _ in registry.describe() if not name.startswith("flurs:")]
FLURS = [f"flurs:{name}" for name in ("mf/k=4", "bprmf/k=4", "user-knn", "fm/k=3", "sketch/buckets=5")]
OPTIONS = ["mf/rate=constant/negatives=0/rank=distance"]


@pytest.mark.parametrize("spec", [*OWN, *OPTIONS, *FLURS])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_models_keep_the_rules(spec: str, check: Callable[[Factory, int], None]) -> None:
    check(lambda context: registry.create(spec, context), 4)


@pytest.mark.parametrize("name", OWN)
def test_kernels_are_compiled_by_the_class(name: str) -> None:
    made = type(registry.create(name, ModelContext(History())))
    assert issubclass(made, Model)
    assert made.warm is not Model.warm
    assert not hasattr(importlib.import_module(made.__module__), "warm")


def test_the_log_that_they_learn_has_every_kind_of_event() -> None:
    log = random_log(150, 4)
    pairs = [(user, item) for user, item, *_ in log]
    assert any(math.isnan(rating) for _, _, rating, *_ in log)
    assert len(set(pairs)) < len(pairs)
    for column in zip(*pairs, strict=True):
        firsts = list(dict.fromkeys(column))
        assert firsts == sorted(firsts)

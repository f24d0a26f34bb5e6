"""How models are named."""

from __future__ import annotations

import pytest

from recommender.history.history import History
from recommender.models import registry
from recommender.models.base import ModelContext
from recommender.models.factors.mf import MF
from recommender.models.flurs.models import FlursUserKNN


def create(spec: str) -> object:
    return registry.create(spec, ModelContext(History()))


def test_every_model_has_a_line_and_can_be_made() -> None:
    for name, line in registry.describe():
        assert line
        if name != "flurs:NAME":
            registry.check(name)


def test_options_are_read_by_their_type() -> None:
    model = create("mf/k=7/learn-rate=0.5/rank=prediction")
    assert isinstance(model, MF)
    model.register(0, 2)
    assert model.user_factors.shape == (2, 7)


@pytest.mark.parametrize("name", ["user-knn", "USERKNN", "UserKNNRecommender", "user_knn"])
def test_flurs_names_in_any_form(name: str) -> None:
    assert isinstance(create(f"flurs:{name}/k=3"), FlursUserKNN)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sequence-kn", "unknown model: 'sequence-kn'; did you mean 'sequence-knn'? Known: "),
        ("", "unknown model: ''. Known: "),
        ("mf/kk=3", "unknown option of mf: 'kk'; did you mean 'k'? Known: k, learn_rate, l2_reg, rank"),
        ("random/k=3", "unknown option of random: 'k'. Known: none"),
        ("mf/k", "model mf: 'k' is not an option; expected option=value"),
        ("mf/k=x", "model mf: k has value 'x': not an integer"),
        ("mf/learn_rate=nan", "model mf: learn_rate has value 'nan': not a finite number"),
        ("mf/k=3/k=4", "model mf: option k is given twice"),
        ("popular-recent/half_life=0", "model popular-recent: half_life has value 0.0: must be "),
        ("mf/rank=up", "model mf: rank has value 'up': expected one of distance, prediction"),
        ("flurs:als", "unknown FluRS recommender: 'als'. Known: flurs:mf, "),
        ("flurs:sketch/proj=None", "model flurs:sketch: proj has value 'None': expected one of Raw, "),
    ],
)
def test_what_is_wrong_with_a_spec(spec: str, message: str) -> None:
    with pytest.raises(registry.ModelError) as caught:
        create(spec)
    assert str(caught.value).startswith(message)

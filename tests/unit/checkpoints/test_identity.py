"""Identity: settings that mean the same fit, whatever their spelling; others are told."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from recommender import settings
from recommender.checkpoints.identity import FORMAT, Identity, canonical
from recommender.shard.options import learned_settings


def identity(**given: str) -> Identity:
    return Identity("ratings", "id", 2, learned_settings(settings.load({}, **given)))


def differences(was: Identity, now: Identity) -> list[str]:
    return now.differences({**asdict(was), "format": FORMAT})


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ({"feedback": "graded:4"}, {"feedback": "graded:4.0"}),
        ({"feedback": "graded"}, {"feedback": "graded:4"}),
        ({"feedback": "positive"}, {"feedback": "positive:3.00"}),
        ({}, {"rating_min": "0.5", "rating_max": "5"}),
        ({"feedback": "signed"}, {"feedback": "signed", "rating_min": "-1", "rating_max": "1.0"}),
        ({"model": "blend"}, {"model": " blend "}),
        ({"model": "sequence-knn/raters=64/entries=10"}, {"model": "sequence-knn/entries=10/raters=64"}),
        ({"model": "popular-recent"}, {"model": "popular-recent/half_life=5000"}),
    ],
)
def test_what_means_the_same_fits(was: dict[str, str], now: dict[str, str]) -> None:
    assert differences(identity(**was), identity(**now)) == []
    assert differences(identity(**now), identity(**was)) == []


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        (
            {"feedback": "graded:4"},
            {"feedback": "graded:4.5"},
            "RECOMMENDER_FEEDBACK was 'graded:4', now 'graded:4.5'",
        ),
        ({}, {"rating_max": "10"}, "RECOMMENDER_RATING_MAX was unset, now '10'"),
        (
            {"model": "sequence-knn"},
            {"model": "sequence-knn/raters=64"},
            "RECOMMENDER_MODEL was 'sequence-knn', now 'sequence-knn/raters=64'",
        ),
        (
            {"model": "blend"},
            {"arms": "mf:1,cooc:2"},
            "RECOMMENDER_MODEL was 'blend', now RECOMMENDER_ARMS is 'cooc, mf'",
        ),
        (
            {"arms": "mf:1,cooc:2"},
            {"model": "cooc"},
            "RECOMMENDER_ARMS was 'cooc, mf', now RECOMMENDER_MODEL is 'cooc'",
        ),
        (
            {"arms": "mf:1,cooc:2"},
            {"arms": "mf:1,blend:2"},
            "RECOMMENDER_ARMS was 'cooc, mf', now 'blend, mf'",
        ),
        ({"seed": "1"}, {"seed": "2"}, "RECOMMENDER_SEED was '1', now '2'"),
    ],
)
def test_what_means_something_else_is_told(was: dict[str, str], now: dict[str, str], told: str) -> None:
    assert differences(identity(**was), identity(**now)) == [told]


def test_another_scale_by_another_policy_is_told_once() -> None:
    (told,) = differences(identity(feedback="graded:4"), identity(feedback="signed"))
    assert told == "RECOMMENDER_FEEDBACK was 'graded:4', now 'signed'"


@pytest.mark.parametrize(
    "odd",
    [{}, {"model": "gone/x=1"}, {"feedback": "stars"}, {"feedback": "graded:4", "rating_min": "low"}],
)
def test_what_is_not_understood_stays_as_it_is(odd: dict[str, Any]) -> None:
    assert canonical(odd) == odd


def test_bounds_that_are_not_set_are_not_a_change() -> None:
    unset = {"max_users": "0", "max_ratings_per_user": "none", "item_ttl": "none", "user_ttl": "0"}
    before, now = {"model": "mf"}, {"model": "mf", **unset}
    header = {**asdict(Identity("journal", "id", 1, before)), "format": FORMAT}
    assert Identity("journal", "id", 1, now).differences(header) == []
    bounded = Identity("journal", "id", 1, {**now, "max_users": "100"}).differences(header)
    assert bounded == ["RECOMMENDER_MAX_USERS was not known, now '100'"]

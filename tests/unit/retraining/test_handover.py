"""Hand-overs: what is in force, and what may not change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recommender.retraining import handover
from recommender.retraining.handover import HandoverError, Terms, obstacle
from tests.support.handovers import TOPIC, config, hand_over, identity, sources_of


def test_shares_come_with_the_arms_and_ones_own_win(tmp_path: Path) -> None:
    old = config(tmp_path, arms="popular:1,cooc:1")
    new = config(tmp_path, arms="popular:1,item-knn:3")
    hand_over(new, old, at=20)
    ours, *_, own = sources_of(old).all()
    assert [(arm.name, arm.share) for arm in ours.options.arms.arms] == [("popular", 1.0), ("item-knn", 3.0)]
    assert own.options.arms.names == ("popular", "cooc")
    changed = config(tmp_path, arms="item-knn:1,popular:0")
    assert [arm.share for arm in sources_of(changed).all()[0].options.arms.arms] == [1.0, 0.0]


def test_what_is_not_for_this_worker_is_left_alone(tmp_path: Path) -> None:
    old, new = config(tmp_path, model="popular"), config(tmp_path, model="cooc")
    made = hand_over(new, old, at=20)
    for each in (old, new, config(tmp_path, model=" popular ")):
        assert made.concerns(identity(each), each)
    for each in (config(tmp_path, model="mf"), config(tmp_path, model="popular", seed="5")):
        assert not made.concerns(identity(each), each)
        assert len(sources_of(each).all()) == 1
    assert not made.concerns(replace(identity(old), topic_id="another"), old)


def test_what_a_worker_cannot_change_while_it_runs(tmp_path: Path) -> None:
    plain = config(tmp_path, model="popular")
    terms = Terms.of(plain)

    def why(**given: str) -> str | None:
        return obstacle(Terms.of(config(tmp_path, **given)), terms, plain)

    assert why(model="mf", seed="3", test_every="9") is None
    assert why(model="popular", feedback="graded:4.0") is None
    assert "RECOMMENDER_FEEDBACK" in str(why(model="popular", feedback="graded:3"))
    assert "RECOMMENDER_RATING_MAX" in str(why(model="popular", rating_max="10"))
    assert "recommendations log would be turned on" in str(why(arms="popular:1,mf:1"))


def test_a_damaged_hand_over_is_named(tmp_path: Path) -> None:
    assert handover.read(tmp_path, TOPIC) is None
    made = hand_over(config(tmp_path, model="cooc"), at=10)
    assert handover.read(tmp_path, TOPIC) == made
    file = tmp_path / handover.FOLDER / f"{TOPIC}.json"
    for content in (b"{", b"[]", b"\xff", b'{"name": 1}'):
        file.write_bytes(content)
        with pytest.raises(HandoverError, match="is no hand-over"):
            handover.read(tmp_path, TOPIC)
    assert Terms.in_header({"model": "a, b"}).arms == "a:1,b:1"

"""Whether new checkpoints are worse than running ones: what is compared with what."""

from __future__ import annotations

import pytest

from recommender.messages.ratings import Rating
from recommender.retraining.quality import Quality, compared, of_shard, total
from recommender.shard.arms import Arms
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard


def quality(tests: int, **hits: int) -> Quality:
    return Quality(tests, hits)


def test_partitions_count_by_their_tests() -> None:
    both = total([quality(100, a=10), quality(300, a=90)])
    assert both == quality(400, a=100)
    assert both.recall("a") == 0.25


@pytest.mark.parametrize(
    ("new", "running", "worse"),
    [
        (quality(1000, a=200), quality(1000, a=200), False),
        (quality(1000, a=190), quality(1000, a=200), False),
        (quality(1000, a=189), quality(1000, a=200), True),
        # An arm that both have is compared with itself,
        (quality(1000, a=100, b=300), quality(1000, a=200), True),
        (quality(1000, a=200, b=5), quality(1000, a=200, c=400), False),
        # and where they have none in common the best with the best.
        (quality(1000, a=300, b=5), quality(1000, c=300, d=1), False),
        (quality(1000, a=100), quality(1000, c=200), True),
        # Recalls over windows of different length.
        (quality(500, a=100), quality(1000, a=200), False),
    ],
)
def test_what_is_worse_is_refused(new: Quality, running: Quality, worse: bool) -> None:
    objections, _ = compared([(new, running)], tolerance=0.01)
    assert bool(objections) == worse
    for each in objections:
        assert "worse by more than 0.01" in each


def test_one_bad_partition_does_not_hide_behind_its_size() -> None:
    partitions = [(quality(100, a=30), quality(100, a=30)), (quality(900, a=90), quality(900, a=180))]
    (objection,), _ = compared(partitions, tolerance=0.01)
    assert objection.startswith("recall@10 of a is 0.1200, of the running a 0.2100")


def test_what_cannot_be_compared_is_said() -> None:
    assert compared([(quality(9, a=1), None)], 0.0) == (
        [],
        ["there is no running checkpoint to compare with"],
    )
    _, (note,) = compared([(quality(0, a=0), quality(0, a=0))], 0.0)
    assert "no rating has been used as a test yet" in note
    _, notes = compared([(quality(20, a=5), quality(20, a=5))], 0.0)
    assert notes[0] == "recall was compared over 20 tests only"


def test_a_shards_quality_is_what_its_live_metrics_show() -> None:
    arms = Arms.parse("popular:1,cooc:1,random:0")
    options = ShardOptions("popular", Feedback.parse("graded:4"), 0, 2, 200, arms)
    shard = Shard(options)
    ratings = [Rating(f"u{n % 37}", f"i{n * n % 53}", 5, None) for n in range(1500)]
    shard.learn(ratings, [float(n) for n in range(1500)])
    found, shown = of_shard(shard), shard.live.summary()
    assert found.tests == shown["window"] > 50
    assert {arm: found.recall(arm) for arm in found.hits} == {
        arm: values["recall@10"] for arm, values in shown["arms"].items()
    }

"""Arms: who sees which, for how long, and what is refused."""

from __future__ import annotations

from collections import Counter

import pytest

from recommender.shard.arms import Arm, ArmError, Arms

USERS = [f"user-{n}" for n in range(20_000)]


def test_arms_are_read() -> None:
    experiment = Arms.parse(" cooc:1, knn-baseline/similarity=cosine/k=20 : 2.5,flurs:mf:0 ", "autumn")
    assert experiment.arms == (
        Arm("cooc", 1.0),
        Arm("knn-baseline/similarity=cosine/k=20", 2.5),
        Arm("flurs:mf", 0.0),
    )
    assert experiment.names[0] == "cooc"


def test_users_are_shared_out_by_share() -> None:
    counts = Counter(map(Arms.parse("a:1,b:3,c:0").arm_of, USERS))
    assert counts["c"] == 0
    # Four standard deviations of a binomial.
    assert abs(counts["a"] - 5000) < 4 * (20_000 * 0.25 * 0.75) ** 0.5


def test_assignment_is_pinned() -> None:
    """It must be the same on every worker and in every later version."""
    experiment = Arms.parse("cooc:1,knn-baseline:1", "findka")
    assert "".join(experiment.arm_of(str(n))[0] for n in range(1, 25)) == "ckkkkcccccckkkcckccccckc"


def test_a_changed_share_moves_as_few_users_as_possible() -> None:
    before, after = Arms.parse("a:1,b:1,c:2"), Arms.parse("a:1,b:1,c:4")
    moves = Counter((before.arm_of(user), after.arm_of(user)) for user in USERS)
    moved = {pair: count for pair, count in moves.items() if pair[0] != pair[1]}
    assert set(moved) == {("a", "c"), ("b", "c")}
    # c's share goes from 1/2 to 2/3: a sixth of the users must move, and no more do.
    assert abs(sum(moved.values()) - 20_000 / 6) < 4 * (20_000 * 5 / 36) ** 0.5


def test_shares_are_relative_and_order_does_not_matter() -> None:
    first, second = Arms.parse("a:1,b:3"), Arms.parse("b:0.75,a:0.25")
    assert all(first.arm_of(user) == second.arm_of(user) for user in USERS[:2000])


def test_another_experiment_assigns_independently() -> None:
    one, two = Arms.parse("a:1,b:1", "one"), Arms.parse("a:1,b:1", "two")
    same = sum(one.arm_of(user) == two.arm_of(user) for user in USERS)
    assert abs(same - 10_000) < 4 * 5000**0.5


def test_a_request_may_force_an_arm() -> None:
    experiment = Arms.parse("a:1,b:0")
    assert experiment.choose("x") == "a"
    assert experiment.choose("x", "b") == "b"
    with pytest.raises(ArmError, match="arm 'c' does not exist: expected 'a' or 'b'"):
        experiment.choose("x", "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no share: expected MODEL:SHARE"),
        ("cooc", "arm 'cooc' of 'cooc' has no share"),
        ("cooc:1,", "has no share"),
        (":1", "has no share"),
        ("flurs:mf", "share 'mf': not a number; expected MODEL:SHARE"),
        ("cooc:-1", "share -1: must be a finite number of at least 0"),
        ("cooc:nan", "share nan"),
        ("cooc:inf", "share inf"),
        ("cooc:0,popular:0", "the shares of cooc, popular are all 0"),
        ("cooc:1,popular:1,cooc:2", "arm 'cooc' is given twice"),
    ],
)
def test_bad_arms_are_refused(text: str, message: str) -> None:
    with pytest.raises(ArmError, match=message):
        Arms.parse(text)


def test_an_experiment_needs_an_arm() -> None:
    with pytest.raises(ArmError, match="at least one arm"):
        Arms("x", ())

"""A shard of several arms: each model learns as if it were alone, and the answers are the user's arm's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.client.messages import decode_response
from recommender.errors import RecommenderError
from recommender.history.arrays import digest, parted
from recommender.messages.ratings import Rating
from recommender.messages.requests import Request
from recommender.messages.responses import Failure
from recommender.models import registry
from recommender.settings import load
from recommender.shard.arms import Arms
from recommender.shard.exploration import Exploration
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.shard.snapshot import Snapshot
from recommender.worker.app import create_app
from tests.support.doubles import fewer
from tests.unit.shard.test_shard_learning import learned, options, stream, times_of

#: bpr reads the history to learn, blend observes, the others do neither.
ARMS = "cooc:1,bpr:1,blend:1,knn-baseline:1"


def arms(text: str = ARMS, policy: str = "signed", **more: object) -> ShardOptions:
    experiment = Arms.parse(text)
    return ShardOptions(
        experiment.names[0],
        Feedback.parse(policy),
        test_every=3,
        test_window=20,
        experiment=experiment,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("policy", ["signed", "graded:4"])
def test_each_model_learns_as_if_it_were_alone(policy: str) -> None:
    ratings = stream(5, 200, policy)
    together = learned(arms(policy=policy), ratings)
    single = {name: learned(options(name, policy), ratings) for name in together.models}
    for place, (name, model) in enumerate(together.models.items()):
        assert digest(model.state()) == digest(single[name].model.state())
        part = {f"model/{key}": each for key, each in parted(together.state())[f"model-{place}"].items()}
        alone = {key: each for key, each in single[name].state().items() if key.startswith("model/")}
        assert digest(part) == digest(alone)
        shown, expected = together.live.summary(), single[name].live.summary()
        assert (shown["arms"][name], shown["popular"]) == (expected["model"], expected["popular"])
        for user in ("u0", "u3", "nobody"):
            answer = together.recommend(Request(user, arm=name, include_rated=True))
            assert answer == single[name].recommend(Request(user, arm=name, include_rated=True))
            assert answer.forced


@fewer
@given(st.integers(0, 10**6), st.lists(st.tuples(st.integers(0, 80), st.booleans()), max_size=5))
def test_batches_and_restarts_change_nothing(seed: int, cuts: list[tuple[int, bool]]) -> None:
    ratings = stream(seed, 80, "signed")
    times = times_of(ratings, seed)
    whole = learned(arms(), ratings, times)
    shard, start = Shard(arms()), 0
    for stop, restarts in [*sorted(cuts), (len(ratings), True)]:
        shard.learn(ratings[start:stop], times[start:stop])
        start = stop
        if restarts:
            restored = Shard(arms())
            restored.restore({name: np.array(array) for name, array in shard.state().items()})
            assert restored.digest() == shard.digest()
            shard = restored
    assert shard.digest() == whole.digest()
    assert shard.live.summary() == whole.live.summary()


def test_the_state_is_that_of_the_models_whatever_their_order_and_shares() -> None:
    ratings = stream(2, 100, "signed")
    one, other = learned(arms("cooc:1,mf:1"), ratings), learned(arms("mf:3,cooc:0"), ratings)
    assert one.digest() == other.digest()
    other.restore(one.state())
    assert other.live.summary()["arms"] == one.live.summary()["arms"]
    assert other.recommend(Request("u1", arm="cooc")) == one.recommend(Request("u1", arm="cooc"))


def test_a_state_fits_though_a_default_is_named() -> None:
    """Whose checkpoint is accepted must not meet another model's state."""
    ratings = stream(2, 100, "signed")
    named, plain = arms("mf/l2_reg=0.01:1,mf/k=3:1"), arms("mf/k=3:1,mf:1")
    assert registry.canonical("mf/l2_reg=0.01") == "mf"
    one, other = learned(named, ratings), Shard(plain)
    other.restore(one.state())
    assert digest(other.models["mf/k=3"].state()) == digest(one.models["mf/k=3"].state())
    assert other.digest() == learned(plain, ratings).digest()


def test_one_arm_alone_is_the_model_alone() -> None:
    ratings = stream(2, 100, "signed")
    alone, arm = learned(options("cooc", "signed"), ratings), learned(arms("cooc:1"), ratings)
    assert alone.digest() == arm.digest()
    assert {part for part in parted(arm.state()) if part.startswith("model")} == {"model"}


def test_a_copy_that_is_taken_while_it_learns_is_whole() -> None:
    shard = learned(arms(), stream(3, 100, "signed"))
    snapshot = Snapshot(shard)
    while snapshot.advance():
        pass
    snapshot.finish()
    expected = shard.digest()
    shard.learn(stream(4, 50, "signed"), times_of(stream(4, 50, "signed")))
    assert digest(snapshot.state()) == expected


def test_users_keep_their_arm_and_all_are_used() -> None:
    shard = learned(arms("cooc:1,mf:3"), stream(2, 100, "signed"))
    experiment = Arms.parse("cooc:1,mf:3")
    seen = set()
    for user in map(str, range(50)):
        answer = shard.recommend(Request(user))
        assert answer.arm == experiment.arm_of(user)
        assert answer.model == "popular"  # nobody of them has rated anything
        seen.add(answer.arm)
    assert seen == {"cooc", "mf"}
    for user in (f"u{each}" for each in range(8)):
        answer = shard.recommend(Request(user))
        assert answer.model == answer.arm == experiment.arm_of(user)


def test_a_request_may_force_an_arm_that_there_is() -> None:
    shard = learned(arms("cooc:1,mf:0"), stream(2, 100, "signed"))
    assert {shard.recommend(Request(f"u{each}")).arm for each in range(8)} == {"cooc"}
    forced, own = shard.recommend(Request("u1", arm="mf")), shard.recommend(Request("u1"))
    assert (forced.model, forced.forced, own.forced) == ("mf", True, False)
    assert json.loads(forced.encode())["forced"] is True
    assert "forced" not in json.loads(own.encode())
    with pytest.raises(Failure, match=r"^arm 'knn' does not exist: expected 'cooc' or 'mf'$") as caught:
        shard.recommend(Request("u1", arm="knn"))
    assert (caught.value.code, caught.value.retriable) == ("bad_request", False)


def test_who_asks_for_similar_items_gets_the_first_arm_that_knows_them() -> None:
    shard = learned(arms("random:1,sequence-knn:1,item-knn:1"), stream(2, 100, "signed"))
    answer = shard.recommend(Request(similar_to="i1"))
    assert (answer.arm, answer.model) == ("sequence-knn", "sequence-knn")
    assert shard.recommend(Request(similar_to="i1", arm="item-knn")).arm == "item-knn"


def test_who_has_no_reasons_says_so() -> None:
    shard = learned(arms("random:1,mf:1,cooc:1"), stream(2, 100, "signed"))
    for arm in ("random", "mf"):
        plain, asked = (shard.recommend(Request("u1", arm=arm, explain=explain)) for explain in (False, True))
        assert asked.items == plain.items
        assert (plain.explained, asked.explained) == (True, False)
        assert json.loads(asked.encode())["explained"] is False
        assert "explained" not in json.loads(plain.encode())
        assert decode_response(asked.encode()) == asked
    told = [shard.recommend(Request(f"u{user}", arm="cooc", explain=True)) for user in range(20)]
    assert all(answer.explained for answer in told)
    assert any(each.because for answer in told for each in answer.items)


def test_who_does_not_know_what_is_alike_answers_with_the_popular_items() -> None:
    shard = learned(arms("random:1,mf:1"), stream(2, 100, "signed"))
    unknown, known = (shard.recommend(Request(similar_to="i1", arm=arm)) for arm in ("random", "mf"))
    assert (unknown.arm, unknown.model, unknown.cold_start) == ("random", "popular", False)
    assert (known.arm, known.model) == ("mf", "mf")
    assert "i1" not in {each.item for each in (*unknown.items, *known.items)}
    assert shard.recommend(Request(similar_to="i1")).arm == "mf"


@pytest.mark.parametrize(
    ("arms", "told"),
    [("cooc:1,nonsense:1", "unknown model: 'nonsense'"), ("cooc/k=1:1", "unknown option of cooc: 'k'")],
)
def test_an_arm_that_is_no_model_is_named_before_anything_starts(arms: str, told: str) -> None:
    with pytest.raises(RecommenderError, match=told):
        create_app(load({"RECOMMENDER_ARMS": arms, "RECOMMENDER_BROKER": "nowhere:1"}))


def test_exploration_draws_by_user_identity_and_seed() -> None:
    ratings = [Rating("rater", f"i{each}", 1, None) for each in range(200)]

    def items(user: str = "new", identity: bytes = b"1", seed: int = 0, arm: str | None = None) -> list[str]:
        shard = learned(arms("cooc:1,mf:1", exploration=Exploration("epsilon", 1.0), seed=seed), ratings)
        return [each.item for each in shard.recommend(Request(user, arm=arm), identity).items]

    assert items() == items()
    lists = [items(), items(user="other"), items(identity=b"2"), items(seed=1)]
    assert len({tuple(each) for each in lists}) == 4

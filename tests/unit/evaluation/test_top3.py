"""Top-3 accuracy: what is counted, how ties count, how ratings are split, and what is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from recommender.cli.evaluate import evaluate
from recommender.evaluation import top3
from recommender.evaluation.top3 import ALL, RANDOM, Signed, SplitError
from recommender.models.knn_baseline.knn_baseline import KNNBaseline
from recommender.models.options import ModelError
from tests.support.doubles import few


def signed(rows: list[tuple[int, int, float]]) -> Signed:
    users, items, ratings = (np.array(column) for column in zip(*rows, strict=True))
    return Signed.of(users, items, ratings.astype(np.float64), np.arange(len(rows), dtype=np.float64), 1, -1)


def random_ratings(seed: int, users: int = 30, items: int = 40, count: int = 700) -> Signed:
    draw = np.random.default_rng(seed)
    pairs = np.unique(draw.integers(0, users * items, count))
    draw.shuffle(pairs)
    # Some items are liked by most and some by few, so that there is something to learn.
    liked = draw.random(len(pairs)) < (pairs % items + 1) / (items + 1)
    return signed(
        [
            (int(p) // items, int(p) % items, 1.0 if like else -1.0)
            for p, like in zip(pairs, liked, strict=True)
        ]
    )


@few
@given(
    st.lists(
        st.tuples(st.sampled_from([-1.0, 0.25, 1.0]), st.integers(0, 2), st.booleans()),
        min_size=3,
        max_size=6,
    )
)
def test_the_share_is_what_is_expected_over_all_orders_of_equal_items(
    items: list[tuple[float, int, bool]],
) -> None:
    shares = []
    for order in itertools.permutations(items):
        best = sorted(order, key=lambda each: (-each[0], -each[1]))[:3]  # a stable sort
        shares.append(sum(liked for *_, liked in best) / 3)
    estimates, neighbours, liked = (np.array(column) for column in zip(*items, strict=True))
    found = top3.shown_share(estimates, neighbours.astype(np.int32), liked)
    assert found == pytest.approx(sum(shares) / len(shares), abs=1e-12)


def test_the_mean_is_over_users_with_three_test_items() -> None:
    test = signed(
        [
            (0, 0, 1),
            (0, 1, -1),
            (0, 2, 1),
            (0, 3, -1),
            (1, 0, -1),
            (1, 1, -1),
            (1, 3, 1),
            (2, 0, 1),
            (2, 1, 1),
        ]
    )
    # By item number: user 0 is shown 3, 2 and 1, of which one is liked; user 1 has three items; user 2 two.
    found = top3.accuracy(
        test, lambda user, items: (items.astype(np.float64), np.zeros(len(items), np.int32))
    )
    assert found == pytest.approx((1 / 3 + 1 / 3) / 2)
    assert top3.tested_users(test) == 2
    floors = top3.floors(test, seed=0)
    assert floors[ALL] == pytest.approx((2 / 4 + 1 / 3) / 2)


def test_random_three_come_near_all_items() -> None:
    ratings = random_ratings(1, users=400, items=60, count=12_000)
    floors = top3.floors(ratings, seed=3)
    assert floors[RANDOM] == pytest.approx(floors[ALL], abs=0.05)
    assert top3.floors(ratings, seed=3) == floors
    assert top3.floors(ratings, seed=4) != floors


def test_ratings_become_signed_and_what_is_between_is_left_out() -> None:
    users, items = np.array(["a", "b", "a", "c", "b"]), np.array([9, 9, 7, 5, 7])
    found = Signed.of(users, items, np.array([5.0, 3.0, 2.0, 3.5, 4.0]), np.arange(5.0))
    assert found.ratings.tolist() == [1.0, -1.0, 1.0]
    assert found.users.tolist() == [0, 0, 1]
    assert found.items.tolist() == [0, 1, 1]
    assert found.times.tolist() == [0.0, 2.0, 4.0]


def test_a_split_has_the_share_that_is_asked_for_and_depends_on_the_seed() -> None:
    tested = top3.split(1000, 0.2, seed=1)
    assert tested.sum() == 200
    assert (tested == top3.split(1000, 0.2, seed=1)).all()
    assert (tested != top3.split(1000, 0.2, seed=2)).any()
    with pytest.raises(SplitError, match=r"--test 0.2 of 2 ratings leaves nothing to test"):
        top3.split(2, 0.2, seed=0)


@pytest.mark.parametrize("model", ["knn-baseline", "sequence-knn", "blend", "flurs:mf"])
def test_models_learn_the_training_part_alone_and_in_order(model: str) -> None:
    ratings = random_ratings(2)
    tested = top3.split(len(ratings), 0.3, seed=0)
    train, test = ratings.part(~tested), ratings.part(tested)
    once = top3.accuracy(test, top3.learned(model, train))
    assert once == top3.accuracy(test, top3.learned(model, train))
    assert 0.0 < once <= 1.0


def test_knn_baseline_is_measured_by_its_own_estimates() -> None:
    ratings = random_ratings(5)
    tested = top3.split(len(ratings), 0.3, seed=0)
    train, test = ratings.part(~tested), ratings.part(tested)
    knn = KNNBaseline(low=-1, high=1)
    for user, item, rating in zip(
        train.users.tolist(), train.items.tolist(), train.ratings.tolist(), strict=True
    ):
        knn.set_rating(str(user), str(item), rating)
    estimate = top3.learned("knn-baseline/low=-1/high=1", train)
    for user in range(30):
        items = test.items[test.users == user]
        scores, neighbours = estimate(user, items)
        answers = {answer.item: answer for answer in knn.top(str(user), [str(each) for each in items], 99)}
        for item, score, count in zip(items.tolist(), scores.tolist(), neighbours.tolist(), strict=True):
            assert (answers[str(item)].estimate, answers[str(item)].neighbours) == (score, count)


def test_a_model_that_learns_is_better_than_chance() -> None:
    ratings = random_ratings(3, users=200, items=50, count=6000)
    results, users = top3.evaluate(ratings, ["popular", "knn-baseline"], splits=2)
    means = {each.name: each.summary()["top3_accuracy"] for each in results}
    assert list(means) == [RANDOM, ALL, "popular", "knn-baseline"]
    assert means["popular"] > means[ALL] + 0.1
    assert means["knn-baseline"] > means[ALL] + 0.1
    assert 300 < users <= 400


def test_what_cannot_be_measured_is_refused() -> None:
    ratings = random_ratings(4)
    with pytest.raises(ModelError, match="unknown model"):
        top3.evaluate(ratings, ["kn-baseline"])
    with pytest.raises(SplitError, match="no user has 3 test items"):
        top3.evaluate(signed([(n, n, 1.0) for n in range(10)]), ["popular"])
    with pytest.raises(SplitError, match="--negative 4 must be below --positive 4"):
        Signed.of(np.zeros(1), np.zeros(1), np.ones(1), np.zeros(1), 4, 4)
    with pytest.raises(SplitError, match="no rating is at least 4 or at most 2"):
        Signed.of(np.zeros(1), np.zeros(1), np.array([3.0]), np.zeros(1))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A rating file from 1 to 5."""
    ratings = random_ratings(6)
    stars = np.where(ratings.ratings > 0, 5, 1)
    stars[::5] = 3
    path = tmp_path / "u.data"
    rows = zip(ratings.users.tolist(), ratings.items.tolist(), stars.tolist(), strict=True)
    path.write_text("".join(f"{u}\t{i}\t{r}\t{1000 + n}\n" for n, (u, i, r) in enumerate(rows)))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(evaluate, [str(each) for each in arguments])


def test_the_command_shows_and_writes_it(source: Path, tmp_path: Path) -> None:
    common = (source, "--protocol", "top3", "--splits", 2, "--models", "popular,knn-baseline")
    told = run(*common, "--json", "-")
    assert told.exit_code == 0
    report = json.loads(told.stdout)
    assert (report["positive"], report["negative"], report["splits"]) == (4, 2, 2)
    assert [each["model"] for each in report["models"]] == [RANDOM, ALL, "popular", "knn-baseline"]
    shown = run(*common, "--csv", tmp_path / "out.csv")
    assert f"{report['models'][3]['top3_accuracy']:.1%}" in shown.stdout
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "model,top3_accuracy,deviation"
    assert len(lines) == 5
    assert json.loads(run(*common, "--seed", 1, "--json", "-").stdout)["models"] != report["models"]


@pytest.mark.parametrize("option", ["--plot=p.png", "--shuffle-ties=1"])
def test_options_of_the_other_protocols_are_refused(source: Path, option: str) -> None:
    refused = run(source, "--protocol", "top3", option)
    assert refused.exit_code == 2
    assert "--protocol top3" in refused.stderr

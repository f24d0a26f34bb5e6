"""KNNBaseline equals Surprise's on the ratings that stand, after any changes and withdrawals."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import surprise
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.models.knn_baseline.knn_baseline import KNNBaseline
from tests.support.baselines import baseline_of

Key = tuple[str, str]
SIMILARITIES = ["msd", "cosine", "pearson", "pearson_baseline"]
ORIENTATIONS = [False, True]
UNKNOWN = "nobody"


class Frame:
    """As much of a pandas DataFrame as Surprise reads."""

    def __init__(self, standing: dict[Key, float]) -> None:
        self._rows = [(user, item, rating) for (user, item), rating in standing.items()]

    def itertuples(self, index: bool) -> list[tuple[str, str, float]]:
        assert not index
        return self._rows


def surprise_fit(standing: dict[Key, float], similarity: str, user_based: bool, **options: Any) -> Any:
    """Surprise's model of the ratings that stand, with our names of its options."""
    low, high = options.get("low", -10.0), options.get("high", 10.0)
    data = surprise.Dataset.load_from_df(Frame(standing), surprise.Reader(rating_scale=(low, high)))
    baseline = {name: options[name] for name in ("n_epochs", "reg_u", "reg_i") if name in options}
    similar = {"name": similarity, "user_based": user_based}
    similar |= {name: options[name] for name in ("min_support", "shrinkage") if name in options}
    model = surprise.KNNBaseline(
        k=options.get("k", 40),
        min_k=options.get("min_k", 1),
        sim_options=similar,
        bsl_options=baseline,
        verbose=False,
    )
    return model.fit(data.build_full_trainset())


def assert_equal(
    ours: KNNBaseline, standing: dict[Key, float], theirs: Any, names: tuple[range, range]
) -> None:
    items = [*(f"i{n}" for n in names[1]), UNKNOWN]
    for user in [*(f"u{n}" for n in names[0]), UNKNOWN]:
        answers = {answer.item: answer for answer in ours.top(user, items, n=len(items))}
        assert len(answers) == len(items)
        for item in items:
            expected = theirs.predict(user, item)
            assert answers[item].estimate == pytest.approx(expected.est, abs=1e-6), (user, item)
            assert answers[item].neighbours == expected.details.get("actual_k", 0), (user, item)
            known = any(u == user for u, _ in standing) and any(i == item for _, i in standing)
            assert answers[item].cold_start == (not known)


def replay(ours: KNNBaseline, steps: list[tuple[int, int, float | None]]) -> dict[Key, float]:
    standing: dict[Key, float] = {}
    for user, item, rating in steps:
        key = (f"u{user}", f"i{item}")
        ours.set_rating(*key, rating)
        if rating is None:
            standing.pop(key, None)
        else:
            standing[key] = rating
    return standing


def random_steps(seed: int, count: int, users: int, items: int, ratings: list[float]) -> list[Any]:
    """Ratings with repeats, of which a quarter are withdrawals of something that stands."""
    draw = random.Random(seed)
    steps: list[tuple[int, int, float | None]] = []
    standing: list[tuple[int, int]] = []
    for _ in range(count):
        if standing and draw.random() < 0.25:
            steps.append((*standing.pop(draw.randrange(len(standing))), None))
        else:
            pair = (int(users * draw.random() ** 2), int(items * draw.random() ** 1.5))
            steps.append((*pair, draw.choice(ratings)))
            if pair not in standing:
                standing.append(pair)
    return steps


STARS = [1.0, 2.0, 3.0, 4.0, 5.0]
TENTHS = [round(0.1 * n, 1) for n in range(7, 50)]


@pytest.mark.parametrize("user_based", ORIENTATIONS)
@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize(
    ("ratings", "options"),
    [
        (STARS, {}),
        (STARS, {"k": 3, "min_k": 2, "min_support": 3, "shrinkage": 5.0}),
        (STARS, {"k": 4, "n_epochs": 3, "reg_u": 2.0, "reg_i": 0.0}),
        (TENTHS, {"k": 5, "low": 1.0, "high": 4.0}),
        ([-1.0, 1.0], {"k": 6, "low": -1.0, "high": 1.0}),
    ],
    ids=["defaults", "few-neighbours", "baseline-options", "tenths-clipped", "signed"],
)
def test_equals_surprise_after_changes_and_withdrawals(
    similarity: str, user_based: bool, ratings: list[float], options: dict[str, Any]
) -> None:
    if "high" in options:
        ratings = [each for each in ratings if options["low"] <= each <= options["high"]]
    ours = KNNBaseline(similarity=similarity, user_based=user_based, **options)
    standing = replay(ours, random_steps(7, 900, 25, 30, ratings))
    ours.train()
    assert_equal(
        ours, standing, surprise_fit(standing, similarity, user_based, **options), (range(25), range(30))
    )


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, int, float | None]]:
    step = st.tuples(
        st.integers(0, 4), st.integers(0, 5), st.one_of(st.none(), st.sampled_from([1.0, 2.0, 3.5, 5.0]))
    )
    return draw(st.lists(step, min_size=1, max_size=60))


@pytest.mark.parametrize("user_based", ORIENTATIONS)
@pytest.mark.parametrize("similarity", SIMILARITIES)
@settings(max_examples=40)
@given(steps=histories())
def test_equals_surprise_on_any_history(
    similarity: str, user_based: bool, steps: list[tuple[int, int, float | None]]
) -> None:
    ours = KNNBaseline(similarity=similarity, user_based=user_based, k=3)
    standing = replay(ours, steps)
    ours.train()
    if not standing:
        assert ours.top("u0", ["i0"])[0] == ("i0", 0.0, 0, True)
        return
    try:
        theirs = surprise_fit(standing, similarity, user_based, k=3)
    except ZeroDivisionError:  # a pair without any spread, which Surprise cannot take
        return
    assert_equal(ours, standing, theirs, (range(5), range(6)))


def trained_similarity(theirs: Any, user_based: bool, first: str, second: str) -> float:
    trainset = theirs.trainset
    inner = trainset.to_inner_uid if user_based else trainset.to_inner_iid
    return float(theirs.sim[inner(first), inner(second)])


@pytest.mark.parametrize(("user_based", "memory"), [(False, 0), (False, 256), (True, 256)])
@pytest.mark.parametrize("similarity", ["msd", "cosine", "pearson"])
def test_similarities_are_exact_at_every_step(similarity: str, user_based: bool, memory: int) -> None:
    """With one neighbour, the estimate's distance from the baseline shows which one it was."""
    ours = KNNBaseline(similarity=similarity, user_based=user_based, k=1, retrain=0, memory=memory)
    items = [f"i{n}" for n in range(8)]
    steps = random_steps(3, 240, 10, 8, STARS)
    standing: dict[Key, float] = {}
    checked = 0
    for number, (user, item, rating) in enumerate(steps):
        key = (f"u{user}", f"i{item}")
        ours.set_rating(*key, rating)
        standing.pop(key, None) if rating is None else standing.update({key: rating})
        if number < 100 or number % 10:
            continue
        theirs = surprise_fit(standing, similarity, user_based, k=1)
        mean, model = float(ours.model.state()["mean"][0]), ours.model

        def baseline(user: str, item: str, model: Any = model, mean: float = mean) -> float:
            u, i = ours.users.find(user), ours.items.find(item)
            return mean + float(baseline_of(model, user=u)) + float(baseline_of(model, item=i))

        for name in [f"u{n}" for n in range(10)]:
            for answer in ours.top(name, items, n=8):
                if answer.cold_start or (name, answer.item) in standing:
                    continue
                # What may be a neighbour: the user's own items, or the item's own users.
                own = [key for key in standing if key[user_based] == (name, answer.item)[user_based]]
                subject = name if user_based else answer.item
                sims = [trained_similarity(theirs, user_based, subject, key[not user_based]) for key in own]
                place = int(np.argmax(sims))
                assert answer.neighbours == int(sims[place] > 0)
                expected = baseline(name, answer.item)
                if sims[place] > 0:
                    expected += standing[own[place]] - baseline(*own[place])
                assert answer.estimate == pytest.approx(expected, abs=1e-9)
                checked += 1
    assert checked > 200

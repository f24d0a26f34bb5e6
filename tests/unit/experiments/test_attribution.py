"""Attribution against a naive join: in any order, with repeats, settled and restarted at any moment."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.experiments.attribution import Attribution, AttributionError
from recommender.experiments.attribution_counts import Counts, merged

WINDOW = 10.0
#: Experiment, arm (with ! where it was forced), source, position and user.
Key = tuple[str, str, str, int, str]


class Shown(NamedTuple):
    """A record of the recommendations log."""

    user: str
    request: str
    experiment: str
    arm: str
    time: float
    items: tuple[str, ...]
    forced: bool = False

    @property
    def places(self) -> list[tuple[str, str, int]]:
        """Item, source and position; every third place is explored."""
        return [(item, "explore" if n % 3 == 1 else "exploit", n) for n, item in enumerate(self.items)]


class Rated(NamedTuple):
    """A rating."""

    user: str
    item: str
    sign: int
    time: float
    offset: int


def add(attribution: Attribution, record: Shown | Rated) -> None:
    if isinstance(record, Rated):
        attribution.rated(*record)
    else:
        attribution.recommended(*record[:5], record.places, forced=record.forced)


def joined(records: Sequence[Shown | Rated], **options: float) -> dict[Key, tuple[int, int, int]]:
    attribution = Attribution(WINDOW, **options)
    for record in records:
        add(attribution, record)
    return plain(attribution.counts())


def plain(counts: Counts) -> dict[Key, tuple[int, int, int]]:
    names, rows = counts.names, counts.rows
    return {
        (
            names["experiment"][row["experiment"]],
            names["arm"][row["arm"]] + "!" * int(row["forced"]),
            names["source"][row["source"]],
            int(row["position"]),
            names["user"][row["user"]],
        ): (int(row["places"]), int(row["attributed"]), int(row["positive"]))
        for row in rows
    }


def naive(
    records: list[Shown | Rated], since: float = -math.inf, until: float = math.inf
) -> dict[Key, tuple[int, int, int]]:
    """The rule, rating by rating in order of time."""
    # Each place of a list that was not logged before, in the window before it.
    places: list[tuple[Shown, str, str, int]] = []
    for each in sorted({each for each in records if isinstance(each, Shown)}, key=lambda each: each.time):
        for item, source, position in each.places:
            again = any(
                (other.user, other.request, known) == (each.user, each.request, item)
                and each.time - other.time <= WINDOW
                for other, known, _, _ in places
            )
            if not again:
                places.append((each, item, source, position))
    outcome = [0] * len(places)
    ratings = {each for each in records if isinstance(each, Rated) and each.sign}
    for rating in sorted(ratings, key=lambda each: (each.time, each.offset)):
        before = [
            (shown.time, shown.request, number)
            for number, (shown, item, _, _) in enumerate(places)
            if (shown.user, item) == (rating.user, rating.item) and shown.time <= rating.time
        ]
        if before and rating.time - max(before)[0] <= WINDOW:
            number = max(before)[2]
            outcome[number] = outcome[number] or rating.sign
    counts: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (shown, _, source, position), sign in zip(places, outcome, strict=True):
        if since <= shown.time < until:
            row = counts[(shown.experiment, shown.arm + "!" * shown.forced, source, position, shown.user)]
            row[0] += 1
            row[1] += sign != 0
            row[2] += sign > 0
    return {key: (places, rated, positive) for key, (places, rated, positive) in counts.items()}


@st.composite
def logs(draw: st.DrawFn) -> list[Shown | Rated]:
    """Both logs; the same request may come again, at any distance, with other items."""
    users, items = st.sampled_from(["u", "v"]), st.sampled_from(["x", "y", "z"])
    times = st.integers(0, 60)
    shown = st.tuples(users, times, st.lists(items, unique=True, max_size=3), st.integers(0, 5))
    # Two lists of one request have different times, else which of them counts would be up to the tie rule.
    lists = draw(st.lists(shown, max_size=10, unique_by=lambda each: (each[0], each[3], each[1])))
    records: list[Shown | Rated] = [
        Shown(
            user,
            f"r{request}",
            f"e{request % 2}",
            f"a{request % 3}",
            float(time),
            tuple(chosen),
            time % 4 == 1,
        )
        for user, time, chosen, request in lists
    ]
    rated = st.tuples(users, items, st.sampled_from([-1, 0, 1]), st.integers(0, 70).map(float))
    records += [Rated(*each, offset) for offset, each in enumerate(draw(st.lists(rated, max_size=16)))]
    return records


@given(records=logs(), shuffle=st.randoms(use_true_random=False), since=st.integers(-1, 60))
def test_equals_the_naive_join_in_any_order(
    records: list[Shown | Rated], shuffle: random.Random, since: int
) -> None:
    assert joined(records) == naive(records)
    assert joined(records, since=since, until=since + 20) == naive(records, since, since + 20)
    twice = records + shuffle.sample(records, len(records) // 2)
    shuffle.shuffle(twice)
    assert joined(twice) == naive(records)


def dense(draw: random.Random) -> list[Shown | Rated]:
    """Many lists and ratings of few users and items, so that most of them meet, many at one moment."""
    records: list[Shown | Rated] = []
    for number in range(draw.randint(2, 12)):
        request = f"r{draw.choice([number, number // 3])}"
        items = draw.sample("xy", draw.randint(1, 2))
        # No two at one time, so that the tie rule of what was logged again is not asked.
        time = float(draw.randint(0, 8) * 5 + number % 2)
        user, arm = draw.choice("uv"), draw.choice("ab")
        if not any((user, request, time) == (each[0], each[1], each[4]) for each in records[:number]):
            records.append(Shown(user, request, "e", arm, time, tuple(items), draw.random() < 0.3))
    for offset in range(draw.randint(2, 20)):
        time = float(draw.randint(0, 11) * 5 + draw.choice([0, 0, 1]))
        records.append(Rated(draw.choice("uv"), draw.choice("xy"), draw.choice([-1, 1]), time, offset))
    return records


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32))
def test_settling_and_restarts_change_nothing(seed: int) -> None:
    """Records come almost in order of time: some up to `behind` late, which the watermark allows for."""
    draw = random.Random(seed)
    records, behind = dense(draw), draw.choice([0, 0, 5, 20])
    come = sorted(records, key=lambda each: (each.time + draw.randint(0, behind), draw.random()))
    attribution = Attribution(WINDOW, since=5.0)
    for number, record in enumerate(come):
        add(attribution, record)
        action = draw.randrange(3)
        if action < 2:
            attribution.settle(min((each.time for each in come[number + 1 :]), default=100.0))
        if action == 1:
            attribution = restarted(attribution, since=5.0)
    assert plain(attribution.counts()) == naive(records, since=5.0)
    attribution.settle(1000.0)
    assert len(attribution) == 0
    assert plain(attribution.counts()) == naive(records, since=5.0)


def test_what_comes_at_the_watermark_still_counts() -> None:
    shown, x = Shown("u", "r", "e", "a", 0.0, ("x",)), ("e", "a", "exploit", 0, "u")
    cases: list[tuple[Shown | Rated, float, Shown | Rated, tuple[int, int, int]]] = [
        # A rating at the very end of the window.
        (Rated("u", "y", 1, 1.0, 0), 10.0, Rated("u", "x", 1, 10.0, 1), (1, 1, 1)),
        # A place at the time of a rating takes it.
        (Rated("u", "x", 1, 5.0, 0), 5.0, Shown("u", "s", "e", "b", 5.0, ("x",)), (1, 0, 0)),
        # A rating that stands before another of the same time.
        (Rated("u", "x", 1, 5.0, 1), 5.0, Rated("u", "x", -1, 5.0, 0), (1, 1, 0)),
        # A rating after the one that counts.
        (Rated("u", "x", -1, 2.0, 0), 3.0, Rated("u", "x", 1, 5.0, 1), (1, 1, 0)),
        # The same request again, at the end of the window.
        (Rated("u", "y", 1, 1.0, 0), 10.0, Shown("u", "r", "e", "a", 10.0, ("x",)), (1, 0, 0)),
    ]
    for first, watermark, second, expected in cases:
        attribution = Attribution(WINDOW)
        add(attribution, shown)
        add(attribution, first)
        attribution.settle(watermark)
        add(attribution, second)
        assert plain(attribution.counts())[x] == expected, second
        attribution.settle(100.0)
        assert plain(attribution.counts()) == naive([shown, first, second])


def restarted(attribution: Attribution, **options: float) -> Attribution:
    state = attribution.state()
    again = Attribution(WINDOW, **options)
    again.restore(state)
    saved = again.state()
    assert {name: (array.dtype, array.tobytes()) for name, array in saved.items()} == {
        name: (array.dtype, array.tobytes()) for name, array in state.items()
    }
    return again


def test_memory_is_bounded_by_the_window() -> None:
    attribution = Attribution(WINDOW)
    held, names = [], []
    for number in range(3000):
        time = float(number)
        attribution.recommended(f"u{number % 5}", f"r{number}", "e", "a", time, [("x", "exploit", 0)])
        attribution.rated(f"u{number % 5}", "x", 1, time + 0.5)
        attribution.rated(f"stranger {number}", "x", 1, time + 0.5)
        if number % 10 == 9:
            attribution.settle(time)
            held.append(len(attribution))
            names.append(sum(len(array) for name, array in attribution.state().items() if "lengths" in name))
    assert max(held) < 30
    assert max(names[10:]) <= max(names[:10])
    assert sum(row[0] for row in plain(attribution.counts()).values()) == 3000


def test_the_window_is_closed_at_both_ends() -> None:
    shown = Shown("u", "r", "e", "a", 100.0, ("x",))
    for time, attributed in [(99.999, 0), (100.0, 1), (110.0, 1), (110.001, 0)]:
        result = joined([shown, Rated("u", "x", 1, time, 0)])
        assert result == {("e", "a", "exploit", 0, "u"): (1, attributed, attributed)}


def test_rounding_does_not_settle_what_still_counts() -> None:
    """Whether a rating is within the window and whether its place may be settled is one subtraction."""
    for shown in np.linspace(1e9, 1e9 + 1e-5, 40).tolist():
        rated = math.nextafter(shown + WINDOW, 0.0)
        records: list[Shown | Rated] = [
            Shown("u", "r", "e", "a", shown, ("x",)),
            Rated("u", "x", 1, rated, 0),
        ]
        attribution = Attribution(WINDOW)
        add(attribution, records[0])
        attribution.settle(rated)
        add(attribution, records[1])
        assert plain(attribution.counts()) == naive(records)


def test_the_latest_recommendation_and_the_earliest_rating_count() -> None:
    records: list[Shown | Rated] = [
        Rated("u", "x", -1, 9.0, 1),
        Shown("u", "first", "e", "a", 0.0, ("y", "x")),
        Rated("u", "x", 1, 8.0, 0),
        Shown("u", "second", "e", "b", 5.0, ("x",)),
        Rated("v", "x", 1, 6.0, 0),
    ]
    assert joined(records) == {
        ("e", "a", "exploit", 0, "u"): (1, 0, 0),
        ("e", "a", "explore", 1, "u"): (1, 0, 0),
        ("e", "b", "exploit", 0, "u"): (1, 1, 1),
    }


def test_a_request_that_is_logged_again_counts_once() -> None:
    again = [Shown("u", "r", "e", arm, time, ("x",)) for arm, time in [("b", 3.0), ("a", 0.0), ("c", 3.0)]]
    records: list[Shown | Rated] = [*again, Rated("u", "x", 1, 9.0, 0)]
    assert joined(records) == {("e", "a", "exploit", 0, "u"): (1, 1, 1)}
    # Of two at one time the same one counts in either order.
    assert joined(again[::2]) == joined(again[::-2]) == {("e", "b", "exploit", 0, "u"): (1, 0, 0)}


def test_parts_are_merged_in_any_order() -> None:
    parts = []
    for number in range(3):
        attribution = Attribution()
        for user in (f"u{number}", f"w{number}"):
            attribution.recommended(user, "r", "e", f"a{number % 2}", 1.0, [("x", "exploit", 0)])
        parts.append(attribution.counts())
    whole, reverse = merged(parts), merged(parts[::-1])
    assert whole.names == reverse.names
    assert whole.rows.tobytes() == reverse.rows.tobytes()
    assert plain(whole) == {key: row for part in parts for key, row in plain(part).items()}
    assert plain(whole.of("e")) == plain(whole)
    assert len(whole.of("other")) == len(merged([])) == 0


def test_nothing_added_is_joined_to_nothing() -> None:
    assert len(Attribution().counts()) == 0
    assert joined([Rated("u", "x", 1, 1.0, 0)]) == {}
    attribution = Attribution()
    attribution.settle(5.0)
    assert len(attribution.counts()) == 0


def test_bad_input_is_refused() -> None:
    for window in (0.0, -1.0, math.nan):
        with pytest.raises(AttributionError, match="must be above 0"):
            Attribution(window)
    for time in (math.nan, math.inf, -math.inf):
        with pytest.raises(AttributionError, match=f"time of a recommendation or rating is {time}"):
            Attribution().rated("u", "x", 1, time)
        with pytest.raises(AttributionError, match=f"time of a recommendation or rating is {time}"):
            Attribution().recommended("u", "r", "e", "a", time, [])
    attribution = Attribution()
    attribution.settle(5.0)
    with pytest.raises(AttributionError, match=r"is 4\.500: older than what is settled, 5\.000"):
        attribution.rated("u", "x", 1, 4.5)


def test_what_repeats_another_is_certain_only_below_the_watermark() -> None:
    lists = [Shown("u", "r", "e", "a", time, ("x",)) for time in (12.0, 20.0, 6.0)]
    attribution = Attribution(WINDOW)
    add(attribution, lists[0])
    add(attribution, lists[1])
    attribution.settle(5.0)
    add(attribution, lists[2])
    assert plain(attribution.counts()) == naive([*lists]) == {("e", "a", "exploit", 0, "u"): (2, 0, 0)}

"""Attribution that is settled and restarted: what is certain leaves the memory, and nothing else changes."""

from __future__ import annotations

import math
import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.experiments.attribution import Attribution
from tests.unit.experiments.joins import WINDOW, Rated, Shown, add, naive, plain


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


def test_what_repeats_another_is_certain_only_below_the_watermark() -> None:
    lists = [Shown("u", "r", "e", "a", time, ("x",)) for time in (12.0, 20.0, 6.0)]
    attribution = Attribution(WINDOW)
    add(attribution, lists[0])
    add(attribution, lists[1])
    attribution.settle(5.0)
    add(attribution, lists[2])
    assert plain(attribution.counts()) == naive([*lists]) == {("e", "a", "exploit", 0, "u"): (2, 0, 0)}

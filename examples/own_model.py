"""A model of one's own: it recommends what most often came next after a user's last item.

It is complete: put into `recommender/models/` and named in `registry.py` it runs in a worker. Here it is
tested on generated sessions, beside the popular items, and shown to be a function of the order of the events.
"""

from __future__ import annotations

import numpy as np

from recommender.history.events import Events
from recommender.history.history import History
from recommender.models.base import NEVER, Arrays, FloatArray, IntArray, Model, ModelContext
from recommender.models.popular import Popular

ITEMS, USERS, EVENTS = 200, 300, 20_000


class Next:
    """How often an item came right after the user's last one.

    Parameters
    ----------
    context : ModelContext
    floor : float
        The score of an item that never came next.
    """

    #: It reads nothing of the history to learn, so it gets whole runs of events.
    reads_history_to_learn = False

    def __init__(self, context: ModelContext, *, floor: float = 0.0) -> None:
        self._floor = floor
        self._last: dict[int, int] = {}
        self._follows: dict[tuple[int, int], int] = {}

    def learn(self, events: Events) -> None:
        """Count each rating after the one before it; a withdrawal (NaN) counts nothing."""
        stands = ~np.isnan(events.ratings)
        for user, item in zip(events.users[stands].tolist(), events.items[stands].tolist(), strict=True):
            before = self._last.get(user)
            if before is not None:
                self._follows[before, item] = self._follows.get((before, item), 0) + 1
            self._last[user] = item

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Counts; the floor for all items of a user who is not known."""
        last = self._last.get(user, -1)
        counts = [self._follows.get((last, item), self._floor) for item in candidates.tolist()]
        return np.array(counts, np.float64)

    def neighbours(self, user: int, candidates: IntArray) -> IntArray | None:
        """None: it has no such notion."""
        return None

    def next_observation(self, event: int) -> int:
        """Never: it does not test itself."""
        return NEVER

    def observe(self, user: int, item: int, weight: float) -> None:
        """Nothing to see."""

    def state(self) -> Arrays:
        """Both tables, in an order that does not depend on when what was added."""
        last = np.array(sorted(self._last.items()), np.int64).reshape(-1, 2)
        follows = [(*pair, count) for pair, count in sorted(self._follows.items())]
        return {"last": last, "follows": np.array(follows, np.int64).reshape(-1, 3)}

    def restore(self, state: Arrays) -> None:
        """Take them over."""
        self._last = dict(state["last"].tolist())
        self._follows = {(before, item): count for before, item, count in state["follows"].tolist()}


def sessions(seed: int = 0) -> list[tuple[int, int]]:
    """Users who mostly go from an item to the one after it, and sometimes jump to a popular one."""
    draw = np.random.default_rng(seed)
    at = draw.integers(0, ITEMS, USERS)
    events = []
    for user in draw.integers(0, USERS, EVENTS).tolist():
        jump = min(int(draw.exponential(ITEMS / 6)), ITEMS - 1)
        at[user] = jump if draw.random() < 0.2 else (at[user] + 1) % ITEMS
        events.append((user, int(at[user])))
    return events


class Learner:
    """A history and models on it, which get each event as a shard would give it."""

    def __init__(self) -> None:
        self.history = History()
        context = ModelContext(self.history, positive_weight=1.0)
        self.models: dict[str, Model] = {"next": Next(context), "popular": Popular(context)}

    def learn(self, events: list[tuple[int, int]]) -> None:
        """Learn events, each a rating of 5."""
        users, items = (list(column) for column in zip(*events, strict=True))
        ones = [1.0] * len(events)
        learned = self.history.append(users, items, [5.0] * len(events), ones, [0.0] * len(events))
        for model in self.models.values():
            model.learn(learned)


def recall(events: list[tuple[int, int]]) -> dict[str, float]:
    """Test, then learn: how often the item that comes is among the ten best, in the second half."""
    learner, hits = Learner(), {"next": 0, "popular": 0}
    everything = np.arange(ITEMS, dtype=np.int32)
    half = len(events) // 2
    learner.learn(events[:half])
    for user, item in events[half:]:
        for name, model in learner.models.items():
            best = np.argsort(-model.score(user, everything), kind="stable")[:10]
            hits[name] += item in best
        learner.learn([(user, item)])
    return {name: count / (len(events) - half) for name, count in hits.items()}


def is_function_of_order(events: list[tuple[int, int]]) -> bool:
    """Whether one run, and pieces with a restart between them, give the same state to the bit."""
    whole, pieces = Learner(), Learner()
    whole.learn(events)
    for first in range(0, len(events), 777):
        pieces.learn(events[first : first + 777])
        restarted = Next(ModelContext(pieces.history))
        restarted.restore(pieces.models["next"].state())
        pieces.models["next"] = restarted
    one, other = whole.models["next"].state(), pieces.models["next"].state()
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def main() -> None:
    """Compare, and check."""
    events = sessions()
    for name, share in recall(events).items():
        print(f"recall@10 of {name}: {share:.3f}")
    print(f"the same state however it is cut: {is_function_of_order(events)}")


if __name__ == "__main__":
    main()

"""A model of one's own: it recommends what most often came next after a user's last item.

It is complete: put into `recommender/models/` and named in `registry.py` it runs in a worker. Here it is
checked against the rules that every model must keep, and compared with popularity on generated sessions.
"""

from __future__ import annotations

import numpy as np

from recommender import Model, ModelContext, check_model
from recommender.evaluation.prequential import Replay
from recommender.evaluation.streams import Stream
from recommender.history.events import Events
from recommender.models.base import Arrays, FloatArray, IntArray
from recommender.models.popular import Popular

ITEMS, USERS, EVENTS = 200, 300, 20_000


class Next(Model):
    """The number of times that an item came right after the user's last one.

    Parameters
    ----------
    context : ModelContext
    floor : float
        The score of an item that never came next.
    """

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

    def forget_user(self, user: int) -> None:
        """Forget where the user was; what all users have done stays counted."""
        self._last.pop(user, None)

    def forget_item(self, item: int) -> None:
        """Forget what came before and after the item."""
        self._last = {user: last for user, last in self._last.items() if last != item}
        self._follows = {pair: count for pair, count in self._follows.items() if item not in pair}

    def state(self) -> Arrays:
        """Both tables, in an order that does not depend on when what was added."""
        last = np.array(sorted(self._last.items()), np.int64).reshape(-1, 2)
        follows = [(*pair, count) for pair, count in sorted(self._follows.items())]
        return {"last": last, "follows": np.array(follows, np.int64).reshape(-1, 3)}

    def restore(self, state: Arrays) -> None:
        """Take them over."""
        self._last = dict(state["last"].tolist())
        self._follows = {(before, item): count for before, item, count in state["follows"].tolist()}


def sessions(seed: int = 0) -> Stream:
    """Users who mostly go from an item to the one after it, and sometimes jump to a popular one."""
    draw = np.random.default_rng(seed)
    at = draw.integers(0, ITEMS, USERS)
    users, items = draw.integers(0, USERS, EVENTS), np.zeros(EVENTS, np.int64)
    for event, user in enumerate(users.tolist()):
        jump = min(int(draw.exponential(ITEMS / 6)), ITEMS - 1)
        at[user] = jump if draw.random() < 0.2 else (at[user] + 1) % ITEMS
        items[event] = at[user]
    return Stream.of(users, items, np.ones(EVENTS), np.arange(EVENTS, dtype=float), positive=1.0)


def main() -> None:
    """Check the model, then ask for a list before each event of the second half is learned."""
    check_model(Next)
    print("the model keeps the rules")
    models = {"next": Next, "popular": Popular}
    replay = Replay(sessions(), list(models), make=lambda name, context: models[name](context))
    for result in replay.run():
        print(f"recall@10 of {result.model}: {result.summary()['recall@10']:.3f}")


if __name__ == "__main__":
    main()

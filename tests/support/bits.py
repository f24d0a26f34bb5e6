"""What models, arms and exploration compute from one log, as fingerprints: ``python -m tests.support.bits``.

With other instructions of the processor it must say the same. Nothing here may depend on them either: the log
is drawn with whole numbers alone.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np

from recommender.messages.ratings import Rating
from recommender.messages.requests import Request
from recommender.models import registry
from recommender.shard.arms import Arm, Arms
from recommender.shard.exploration import Exploration, mix
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard

FOREIGN = [f"flurs:{name}" for name in ("mf/k=4", "bprmf/k=4", "user-knn", "fm/k=3", "sketch/buckets=5")]
#: Options by which a model computes something else than by default.
OTHERS = [
    "mf/rate=adagrad/negatives=3",
    "sequence-knn/own_shrink=3/own_power=0.7/item_power=0.3/power=1.3/decay=0.83",
    "popular-recent/half_life=37",
    "knn-baseline/similarity=pearson/retrain=1500",
    "knn-baseline/similarity=pearson_baseline/retrain=1500",
    "knn-baseline/similarity=cosine/user_based=false/retrain=1500",
]
OWN = [name for name, _ in registry.describe() if not name.startswith("flurs:")]
#: Foreign models visit users times items for each event.
EVENTS, FOREIGN_EVENTS = 5000, 400
USERS, ITEMS = 150, 300


def drawn() -> Iterator[int]:
    """Well-mixed numbers (SplitMix64)."""
    for number in count(1):
        z = number * 0x9E3779B97F4A7C15 % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        yield z ^ z >> 31


def log(events: int) -> Iterator[Rating]:
    """Ratings in which few items have many and some are withdrawn."""
    numbers = drawn()
    for _ in range(events):
        user = next(numbers) % USERS
        size = 1 + next(numbers) % ITEMS
        item = (user // 30 * 17 + next(numbers) % size) % ITEMS
        kind = next(numbers) % 20
        yield Rating(f"u{user}", f"i{item}", None if kind == 0 else 1.0 + kind % 9 / 2, None)


def learned(spec: str, events: int) -> Shard:
    """A shard that has learned the log."""
    scale = "graded:4"
    shard = Shard(ShardOptions(spec, Feedback.parse(scale), seed=3, test_every=10))
    ratings = list(log(events))
    for start in range(0, events, 500):
        part = ratings[start : start + 500]
        shard.learn(part, [1e9 + start + place for place in range(len(part))])
    return shard


def sum_of(*arrays: object) -> str:
    """A fingerprint."""
    total = hashlib.blake2b(digest_size=12)
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def of_model(spec: str) -> dict[str, str]:
    """What a model has learned, and what it answers."""
    shard = learned(spec, FOREIGN_EVENTS if spec in FOREIGN else EVENTS)
    everything = np.arange(len(shard.items), dtype=np.int32)
    users = range(0, len(shard.users), 3)
    scores = [shard.model.score(user, everything) for user in users]
    answers = []
    for user in users:
        for explore in (None, 0.5):
            request = Request(f"u{user}", n=10, explore=explore)
            answers.append(repr(shard.recommend(request, b"%d" % user)))
    return {"state": shard.digest(), "scores": sum_of(*scores), "answers": sum_of(np.array(answers))}


def of_exploration() -> dict[str, str]:
    """What is drawn."""
    numbers = drawn()
    scores = np.array([next(numbers) % 1000 / 64 for _ in range(200)])
    positives = np.array([next(numbers) % 50 for _ in range(200)])
    ranked = np.argsort(-scores, kind="stable")
    found = {}
    for text in ("epsilon:0.3", "softmax:0.7", "thompson"):
        way, counts = Exploration.parse(text), {"positives": positives, "negatives": positives[::-1].copy()}
        lists = [mix(ranked, scores, 20, way, seed, **counts) for seed in range(200)]
        found[text] = sum_of(np.array([place.candidate for each in lists for place in each]))
    return found


def of_arms() -> dict[str, str]:
    """Whose arm."""
    experiment = Arms("bits", (Arm("a", 0.3), Arm("b", 1.7), Arm("c", 0.01)))
    weights = [experiment.weight(arm, f"u{user}") for user in range(2000) for arm in experiment.arms]
    return {"weights": sum_of(np.array(weights))}


PARTS: dict[str, Callable[[], dict[str, str]]] = {"exploration": of_exploration, "arms": of_arms}


def main(parts: list[str]) -> None:
    """Print the fingerprints of some parts, or of all but the foreign models, as JSON."""
    found = {}
    for part in parts or [*PARTS, *OWN, *OTHERS]:
        found[part] = PARTS[part]() if part in PARTS else of_model(part)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])

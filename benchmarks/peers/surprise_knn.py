"""Findka's recommender, Surprise's KNNBaseline: FILE CALLS, with a file of lines user,item,rating.

`top`: estimate 1,000 items for a user one by one and sort them. `refit`: what a new rating needs there.
"""

import json
import random
import statistics
import sys
import time

from surprise import Dataset, KNNBaseline, Reader

path, calls = sys.argv[1], int(sys.argv[2])
dataset = Dataset.load_from_file(path, Reader(line_format="user item rating", sep=",", rating_scale=(1, 5)))
fits = []
for _ in range(3):
    begin = time.perf_counter()
    model = KNNBaseline(verbose=False)
    model.fit(dataset.build_full_trainset())
    fits.append((time.perf_counter() - begin) * 1e3)

chooser = random.Random(0)
users = sorted({each[0] for each in dataset.raw_ratings})
items = sorted({each[1] for each in dataset.raw_ratings})
times = []
for _ in range(calls):
    user, candidates = chooser.choice(users), chooser.sample(items, min(1000, len(items)))
    begin = time.perf_counter()
    estimates = [model.predict(user, item) for item in candidates]
    estimates.sort(key=lambda each: (-each.est, -each.details.get("actual_k", 0)))
    best = estimates[:20]
    times.append((time.perf_counter() - begin) * 1e3)
times.sort()
print(
    json.dumps(
        {
            "p50": statistics.median(times),
            "p99": times[int(0.99 * (len(times) - 1))],
            "refit": statistics.median(fits),
        }
    )
)

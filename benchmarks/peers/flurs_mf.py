"""FluRS' MFRecommender, `recommend` over all items and `update` with one rating: ITEMS CALLS."""

import json
import statistics
import sys
import time

import numpy as np
from flurs.data.entity import Event, Item, User
from flurs.recommender import MFRecommender

items, calls = int(sys.argv[1]), int(sys.argv[2])
recommender = MFRecommender(k=40)
recommender.initialize()
recommender.register(User(0))
recommender.register(Item(0))
# Registering an item copies the whole matrix, so for many it is put there at once.
recommender.Q = np.random.default_rng(0).normal(0.0, 0.1, (items, recommender.k))
recommender.n_item = items

candidates = np.arange(items)
times, updates = [], []
for call in range(calls):
    begin = time.perf_counter()
    recommender.recommend(User(0), candidates)
    between = time.perf_counter()
    recommender.update(Event(User(0), Item(call % items)))
    end = time.perf_counter()
    times.append((between - begin) * 1e3)
    updates.append((end - between) * 1e3)
times.sort()
print(
    json.dumps(
        {
            "p50": statistics.median(times),
            "p99": times[int(0.99 * (len(times) - 1))],
            "update": statistics.median(updates),
        }
    )
)

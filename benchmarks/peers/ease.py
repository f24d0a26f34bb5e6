"""A row of EASE (Steck, 2019): the sum of a user's items' rows of a dense item-item matrix: ITEMS CALLS."""

import json
import statistics
import sys
import time

import numpy as np

items, calls = int(sys.argv[1]), int(sys.argv[2])
random = np.random.default_rng(0)
weights = random.normal(0.0, 0.1, (items, items)).astype(np.float32)  # what they are changes no cost
times = []
for _ in range(calls):
    rated = random.choice(items, 100, replace=False)
    begin = time.perf_counter()
    scores = weights[rated].sum(axis=0)
    scores[rated] = -np.inf
    top = np.argpartition(-scores, 10)[:10]
    top = top[np.argsort(-scores[top])]
    times.append((time.perf_counter() - begin) * 1e3)
times.sort()
print(json.dumps({"p50": statistics.median(times), "p99": times[int(0.99 * (len(times) - 1))]}))

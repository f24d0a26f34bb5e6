"""Surprise's algorithms on signed ratings: TRAIN TEST OUT SEED, with files of lines user,item,rating.

OUT.npz gets NAME/estimates and NAME/neighbours of each line of TEST. Printed are the seconds that it took.
"""

import csv
import json
import sys
import time
from typing import Any

import numpy as np
from surprise import SVD, CoClustering, Dataset, KNNBaseline, KNNBasic, KNNWithMeans, Reader

train, test, out, seed = *sys.argv[1:4], int(sys.argv[4])
reader = Reader(line_format="user item rating", sep=",", rating_scale=(-1, 1))
trainset = Dataset.load_from_file(train, reader).build_full_trainset()
with open(test) as file:
    rows = list(csv.reader(file))
item_based = {"user_based": False}
algorithms = {
    "SVD": SVD(random_state=seed),
    "CoClustering": CoClustering(random_state=seed),
    "KNNBasic": KNNBasic(sim_options=item_based, verbose=False),
    "KNNWithMeans": KNNWithMeans(sim_options=item_based, verbose=False),
    "KNNBaseline": KNNBaseline(sim_options=item_based, bsl_options={}, verbose=False),
    "KNNBasic, users": KNNBasic(verbose=False),
    "KNNWithMeans, users": KNNWithMeans(verbose=False),
    "KNNBaseline, users": KNNBaseline(verbose=False),
}
arrays: dict[str, Any] = {}
seconds: dict[str, float] = {}
for name, algorithm in algorithms.items():
    begin = time.perf_counter()
    algorithm.fit(trainset)
    fitted = time.perf_counter()
    found = [algorithm.predict(user, item) for user, item, _ in rows]
    seconds[f"{name}/fit"] = fitted - begin
    seconds[f"{name}/predict"] = time.perf_counter() - fitted
    arrays[f"{name}/estimates"] = np.array([each.est for each in found])
    arrays[f"{name}/neighbours"] = np.array([each.details.get("actual_k", 0) for each in found], np.int32)
np.savez(out, **arrays)
print(json.dumps(seconds))

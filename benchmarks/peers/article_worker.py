"""The article's worker: a stock Faust agent that feeds FluRS' MFRecommender: ADDRESS TOPIC COUNT USERS ITEMS.

As "Feeding user-item interactions to a streaming recommendation engine via Faust" (2019) has it: users and
items are registered beforehand, ratings below 3 are dropped, every other one updates the model. JSON
instead of pickle.
"""

import json
import os
import sys
import tempfile
import time
import uuid
from typing import Any

import faust
from flurs.data.entity import Event, Item, User
from flurs.recommender import MFRecommender

address, topic_name = sys.argv[1], sys.argv[2]
count, users, items = (int(each) for each in sys.argv[3:6])

recommender = MFRecommender(k=40)
recommender.initialize()
for index in range(users):
    recommender.register(User(index))
for index in range(items):
    recommender.register(Item(index))

app = faust.App(
    f"article-{uuid.uuid4().hex}",
    broker=f"kafka://{address}",
    value_serializer="raw",
    datadir=tempfile.mkdtemp(prefix="article-"),
    web_enabled=False,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    env_prefix="ARTICLE_",
)
topic = app.topic(topic_name, value_type=bytes)
begin, busy, read = 0.0, 0.0, 0


@app.agent(topic)
async def learn(stream: Any) -> None:
    """Learn rating after rating."""
    global begin, busy, read
    async for value in stream:
        if not begin:
            begin, busy = time.perf_counter(), time.process_time()
        rating = json.loads(value)
        if rating["rating"] >= 3:
            recommender.update(Event(User(int(rating["user"])), Item(int(rating["item"]))))
        read += 1
        if read == count:
            # Faust turns what is printed into log lines, and may be in the middle of one of its own.
            seconds, cpu = time.perf_counter() - begin, time.process_time() - busy
            measured = json.dumps({"rate": read / seconds, "cpu": cpu / read * 1e6})
            os.write(1, f"\n{measured}\n".encode())
            os._exit(0)  # a stock worker takes seconds to stop, and they are not what is measured


faust.Worker(app, loglevel="error").execute_from_commandline()

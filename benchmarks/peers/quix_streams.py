"""Quix Streams, decoding only: ADDRESS TOPIC PARTITIONS COUNT SETTINGS, the last as JSON.

``collect_after`` is the garbage collector's threshold, ``consumer_extra_config`` has librdkafka's settings,
and all others are the application's own. It runs as it does in production: `Application.run` with a count
would keep every decoded rating.
"""

import gc
import json
import logging
import sys
import tempfile
import time
import uuid
from typing import Any

from quixstreams import Application

address, topic, count, settings = sys.argv[1], sys.argv[2], int(sys.argv[4]), json.loads(sys.argv[5])
gc.set_threshold(settings.pop("collect_after", gc.get_threshold()[0]), 10, 10)
begin = end = busy = cpu = 0.0
read = 0


def look(value: Any) -> None:
    """Count a decoded rating."""
    global begin, end, busy, cpu, read
    read += 1
    if read == 1:
        begin, busy = time.perf_counter(), time.process_time()
    if read == count:
        end, cpu = time.perf_counter(), time.process_time() - busy
        app.stop()


with tempfile.TemporaryDirectory() as state:
    app = Application(
        broker_address=address,
        consumer_group=f"quix-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        state_dir=state,
        loglevel=logging.WARNING,
        **settings,
    )
    frame = app.dataframe(app.topic(topic, value_deserializer="json", key_deserializer="bytes"))
    frame.update(look)
    app.run()
print(json.dumps({"rate": count / (end - begin), "cpu": cpu / count * 1e6}))

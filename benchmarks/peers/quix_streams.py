"""Quix Streams, decoding only: ADDRESS TOPIC COUNT."""

import json
import logging
import sys
import tempfile
import time
import uuid
from typing import Any

from quixstreams import Application

address, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
begin = end = 0.0
read = 0


def look(value: Any) -> None:
    """Count a decoded rating."""
    global begin, end, read
    begin = begin or time.perf_counter()
    read += 1
    if read == count:
        end = time.perf_counter()


with tempfile.TemporaryDirectory() as state:
    app = Application(
        broker_address=address,
        consumer_group=f"quix-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        state_dir=state,
        loglevel=logging.WARNING,
    )
    frame = app.dataframe(app.topic(topic, value_deserializer="json", key_deserializer="bytes"))
    frame.update(look)
    app.run(count=count)
print(json.dumps({"rate": read / (end - begin)}))

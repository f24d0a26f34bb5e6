"""A confluent-kafka client that asks until its standard input ends: ADDRESS PREFIX RATE WINDOW USER ...

With RATE 0 it keeps WINDOW requests under way; else it asks so many a second, whether or not the replies
keep up: the wait of a late one counts from when it was due. At the end it waits for what is under way,
and prints of each request when it was due, by the system's monotonic clock, and how many milliseconds
later its reply came.
"""

import json
import os
import struct
import sys
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition

#: For what is still under way at the end.
WAIT = 30.0
#: Failures whose text is told.
TOLD = 3
address, prefix, rate, window = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
requests, responses = prefix + "recommendation-requests", prefix + "recommendation-responses"
bodies = [(user.encode(), json.dumps({"user": user, "n": 10}).encode()) for user in sys.argv[5:]]
#: murmur2 is what a worker that answers only some of the users expects.
producer = Producer(
    {"bootstrap.servers": address, "acks": 1, "linger.ms": 0, "partitioner": "murmur2_random"}
)
consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False})
ours = os.urandom(8)
due: list[float] = []
took: list[float] = []
failures: list[str] = []
under_way = failed = 0
stopping = threading.Event()


def begin() -> None:
    """Wait at the ends of the replies."""
    numbers = consumer.list_topics(responses, WAIT).topics[responses].partitions
    ends = [
        TopicPartition(responses, each, consumer.get_watermark_offsets(TopicPartition(responses, each))[1])
        for each in numbers
    ]
    consumer.assign(ends)


def ask(moment: float) -> None:
    """Send one request that was due at a moment."""
    global under_way
    user, body = bodies[len(due) % len(bodies)]
    correlation = ours + struct.pack("<q", len(due))
    headers = [("kafka_correlationId", correlation), ("kafka_replyTopic", responses.encode())]
    producer.produce(requests, body, user, headers=headers)
    due.append(moment)
    took.append(-1.0)
    under_way += 1


def collect(seconds: float) -> None:
    """Take the replies that are there; wait for the first."""
    global under_way, failed
    first = consumer.poll(seconds)
    replies = [] if first is None else [first, *consumer.consume(500, 0)]
    now = time.monotonic()
    for reply in replies:
        correlation = b"" if reply.error() else dict(reply.headers() or ()).get("kafka_correlationId", b"")
        if len(correlation) != 16 or correlation[:8] != ours:
            continue
        number = struct.unpack("<q", correlation[8:])[0]
        if took[number] >= 0:
            continue  # answered twice, as where a worker died between reply and commit
        took[number] = (now - due[number]) * 1e3
        under_way -= 1
        if b'"ok":true' not in reply.value().replace(b" ", b"")[:40]:
            failed += 1
            failures.append(reply.value().decode(errors="replace")[:200])
    producer.poll(0)


def wait_for_end() -> None:
    """Stop when the standard input ends."""
    sys.stdin.read()
    stopping.set()


begin()
# One after the other, so that each connection and topic is known when it starts.
for _ in bodies[:5]:
    ask(time.monotonic())
    while under_way:
        collect(0.1)
due.clear()
took.clear()
ours = os.urandom(8)
print("ready", flush=True)
threading.Thread(target=wait_for_end, daemon=True).start()
started = time.monotonic()
while not stopping.is_set():
    now = time.monotonic()
    if rate:
        while len(due) < (now - started) * rate:
            ask(started + len(due) / rate)
    else:
        while under_way < window:
            ask(now)
    collect(0.001)
deadline = time.monotonic() + WAIT
while under_way and time.monotonic() < deadline:
    collect(0.1)
consumer.close()
print(json.dumps({"due": due, "took": took, "failed": failed, "failures": failures[:TOLD]}))

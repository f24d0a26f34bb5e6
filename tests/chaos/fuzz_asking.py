"""Requests while records of all kinds are learned, most of them odd: each has one reply."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections import Counter
from typing import Any

from tests.chaos.fuzz import mutated, some_headers
from tests.chaos.fuzz_records import BAD_NAME, ODD_TIMES, USERS
from tests.integration.raw_records import produce_batch
from tests.support.asking import CORRELATION, Asker
from tests.support.record_batches import CODECS, RawRecord, batch
from tests.support.workers import Installation


class Questions:
    """A thread that asks until it is stopped.

    Attributes
    ----------
    buried : int
        How many were sent that cannot be read: they have a reply and a dead letter.
    """

    def __init__(self, installation: Installation, seed: int, seconds: float) -> None:
        self.buried = 0
        self._installation, self._draw = installation, random.Random(f"{seed} questions")
        self._seconds = seconds
        self._asker = Asker(installation.kafka, installation.topics)
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> tuple[list[str], str]:
        """End when all are answered.

        Returns
        -------
        violations : list of str
        summary : str
        """
        self._stopping.set()
        self._thread.join()
        asker = self._asker
        try:
            if self._failure is not None:
                return [f"asking ended with {self._failure!r}"], "not all was asked"
            for correlation in asker.sent:
                asker.reply(correlation)
        except AssertionError as error:
            return [f"a request of {len(asker.sent)}: {error}"], "not all requests are answered"
        finally:
            replies = asker.replies()
            asker.close()
        codes = Counter(each[0].body.get("error", {"code": "ok"})["code"] for each in replies.values())
        violations = [f"{codes['internal_error']} internal errors"] if codes["internal_error"] else []
        if unasked := replies.keys() - set(asker.sent):
            violations.append(f"there are {len(unasked)} replies to what nobody asked: {list(unasked)[:5]}")
        if twice := sum(len(each) > 1 for each in replies.values()):
            violations.append(f"{twice} requests have two replies, although nobody has died")
        told = ", ".join(f"{number} {code}" for code, number in sorted(codes.items()))
        return violations, f"{len(asker.sent)} requests have one reply each: {told}"

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._seconds):
                self._ask()
        except BaseException as error:
            self._failure = error

    def _ask(self) -> None:
        draw = self._draw
        body: dict[str, Any] = {"user": f"u{draw.randrange(USERS)}", "n": draw.choice([1, 3, 10])}
        more = {"items": ["i0", "i1", 7], "exclude": ["i1"], "include_rated": True, "after": {"journal": 0}}
        body |= dict(draw.sample(sorted(more.items(), key=str), draw.choice([0, 0, 1, 2])))
        value: bytes | None = json.dumps(body).encode()
        if draw.random() < 0.4:
            value = mutated(value or b"", draw)
        key = draw.choice([b"u1", b"", draw.randbytes(draw.choice([8, 50_000]))])
        if draw.random() < 0.1:
            self._ask_by_hand(value, key)
        else:
            self._asker.send(value, *some_headers(draw), key=key)

    def _ask_by_hand(self, value: bytes | None, key: bytes) -> None:
        """At any time, and at times with a header that cannot be read."""
        correlation, draw = uuid.uuid4().bytes, self._draw
        headers: list[tuple[bytes, bytes | None]] = [(CORRELATION.encode(), correlation)]
        if draw.random() < 0.5:
            headers.insert(0, (BAD_NAME, b"x"))
            self.buried += 1
        record = RawRecord(value, key, headers, draw.choice([int(time.time() * 1000), *ODD_TIMES]))
        made = batch([record], codec=draw.choice(CODECS))
        topic, partition = self._installation.topics.requests, draw.randrange(self._installation.partitions)
        produce_batch(self._installation.kafka, topic, made, partition)
        self._asker.sent.append(correlation)

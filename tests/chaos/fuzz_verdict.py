"""Every valid record is in the journal once, every other one has its letter, and nothing else is anywhere."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np

from tests.chaos.fuzz_senders import Fate, Written, digest
from tests.support import journal_log
from tests.support.kafka import consume_all
from tests.support.worker_logs import Oracle
from tests.support.workers import Installation

PREFIX = "__connect.errors."
Place = tuple[int, int]
#: Of each kind of violation so many are shown.
SHOWN = 5


def learned(oracle: Oracle, written: Written) -> tuple[list[str], str]:
    """Compare what counts in the journal with what was written.

    Returns
    -------
    violations : list of str
    summary : str
    """
    violations, count = [], 0
    expected: defaultdict[int, dict[int, Fate]] = defaultdict(dict)
    for (partition, offset), fate in written.fates.items():
        if fate.rating is not None:
            expected[partition][offset] = fate
    for partition in expected.keys() | oracle.counted.keys():
        parts = oracle.counted.get(partition, [])
        for part in parts:
            offsets = [each.offset for each in part]
            if offsets != sorted(set(offsets)):
                violations.append(f"partition {partition} is in the journal out of order, or twice")
        found = Counter(each.offset for part in parts for each in part)
        wanted = expected[partition]
        violations += _those(
            f"partition {partition}: not in the journal", wanted.keys() - found.keys(), written, partition
        )
        violations += _those(
            f"partition {partition}: wrongly in the journal", found.keys() - wanted.keys(), written, partition
        )
        violations += _those(
            f"partition {partition}: twice",
            {each for each, times in found.items() if times > 1},
            written,
            partition,
        )
        wrong = [
            (each, wanted[each.offset])
            for part in parts
            for each in part
            if each.offset in wanted and not _is(each, wanted[each.offset])
        ]
        if wrong:
            violations.append(f"partition {partition}: {len(wrong)} differ, such as {wrong[:SHOWN]}")
        count += sum(found.values())
    return violations, f"{count} ratings in the journal, each once and in order"


def _is(found: journal_log.Written, fate: Fate) -> bool:
    user, item, rating = fate.rating or ("", "", 0.0)
    same = found.rating == float(np.float32(rating)) or (math.isnan(found.rating) and math.isnan(rating))
    return (found.user, found.item) == (user, item) and same and (
        found.time == fate.time or math.isnan(fate.time)
    )  # fmt: skip


def _those(what: str, offsets: set[int], written: Written, partition: int) -> list[str]:
    """A sentence on offsets that should not be there."""
    if not offsets:
        return []
    kinds = Counter(_kind(written, (partition, each)) for each in offsets)
    return [f"{what}: {len(offsets)} ({dict(kinds)}), such as {sorted(offsets)[:SHOWN]}"]


def _kind(written: Written, place: Place) -> str:
    fate = written.fates.get(place)
    return ("aborted" if place in written.aborted else "unknown") if fate is None else fate.kind


def letters(installation: Installation, written: Written, buried_requests: int) -> tuple[list[str], str]:
    """Compare the dead letters with what was written.

    Returns
    -------
    violations : list of str
    summary : str
    """
    topics, violations = installation.topics, []
    found: Counter[Place] = Counter()
    asked: set[Place] = set()
    lesser = 0
    for letter in consume_all(installation.kafka, topics.dead_letters):
        # Of several headers with one name the last counts: a letter that was written back has two sets.
        ours = {name: value for name, value in letter.headers if name.startswith(PREFIX)}
        place = int(ours[PREFIX + "partition"]), int(ours[PREFIX + "offset"])
        if ours[PREFIX + "topic"].decode() == topics.requests:
            asked.add(place)
            continue
        found[place] += 1
        lesser += PREFIX + "value.length" in ours or PREFIX + "key.length" in ours
        fate = written.fates.get(place)
        if fate is not None and not _is_copy(letter, ours, fate):
            violations.append(f"the letter of {place}, {fate.kind}, has other contents: {ours}")
        if not ours[PREFIX + "exception.message"]:
            violations.append(f"the letter of {place} says nothing")
    expected = {place for place, fate in written.fates.items() if fate.rating is None}
    for partition in range(installation.partitions):
        missing, extra = (
            {offset for there, offset in places if there == partition}
            for places in (expected - found.keys(), found.keys() - expected)
        )
        violations += _those(f"partition {partition}: without a dead letter", missing, written, partition)
        violations += _those(f"partition {partition}: wrongly a dead letter", extra, written, partition)
    if len(asked) != buried_requests:
        violations.append(f"{buried_requests} requests cannot be read, {len(asked)} have dead letters")
    told = f"{len(found)} dead letters, {lesser} of them without their value or key, "
    told += f"{sum(found.values()) - len(found)} twice"
    return violations[: 10 * SHOWN], told


def _is_copy(letter: Any, ours: dict[str, bytes], fate: Fate) -> bool:
    """Compare what a letter has, or tells, of its record's value and key; an empty key may stand for none."""
    for part, content, expected in (("value", letter.value, fate.value), ("key", letter.key, fate.key)):
        told = ours.get(f"{PREFIX}{part}.sha256")
        found = digest(content) if told is None else told
        stands_for_none = letter.value is None and content == b"" and expected == digest(None)
        if found != expected and not stands_for_none:
            return False
    return True

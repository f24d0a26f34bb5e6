"""Blocks as JSON lines: as they are, and as ratings that the ratings topic takes."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from recommender.history.id_table import ITEM, USER
from recommender.history.rows import FORGET_ITEM, FORGET_USER, MERGE, Rows
from recommender.journal.block import COMPLETE, Head
from recommender.journal.block_kernels import MARK
from recommender.journal.block_reader import Block
from recommender.messages.ratings import MAX_TIMESTAMP


def block_line(offset: int, timestamp: int, block: Block) -> bytes:
    """A block and where it stands in the journal."""
    head = block.head
    ratings = zip(block.offsets.tolist(), _ratings(block.rows), strict=True)
    if head.flags & MARK:
        return _mark_line(offset, timestamp, head)
    copied = {"rewriting": head.number} if head.number else {}
    shown = {
        "offset": offset,
        "timestamp": timestamp,
        **copied,
        "topic_id": str(uuid.UUID(bytes=head.source.topic_id)),
        "partition": head.source.partition,
        "from": head.begin,
        "to": head.end,
        "rows": head.rows,
        "decoder": f"{head.decoder:016x}",
        "ratings": [{"offset": place} | rating for place, rating in ratings],
    }
    return orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE)


def _mark_line(offset: int, timestamp: int, head: Head) -> bytes:
    said: dict[str, Any] = {"mark": ("begins", "complete", "hold")[head.source.partition]}
    if head.source.partition == COMPLETE:
        said["from"] = head.begin
    shown = {"offset": offset, "timestamp": timestamp, "rewriting": head.number, **said}
    return orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE)


def fault_line(offset: int, timestamp: int, fault: str) -> bytes:
    """A record that is no block, with what is wrong with it."""
    shown = {"offset": offset, "timestamp": timestamp, "error": fault}
    return orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE)


def rating_lines(rows: Rows) -> bytes:
    """Ratings as the ratings topic takes them, a line each."""
    return b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in _ratings(rows))


def user_lines(rows: Rows, user: str) -> list[dict[str, Any]]:
    """The rows of one user, each as the ratings topic takes it."""
    wanted, text = user.encode(), rows.text.tobytes()
    kinds = np.zeros(len(rows.ratings), np.uint8) if rows.kinds is None else rows.kinds
    merges, items = kinds == MERGE, kinds == FORGET_ITEM
    kept = np.zeros(len(rows.ratings), np.bool_)
    for column, where in ((USER, ~items), (ITEM, merges)):
        sizes = rows.spans[:, column + 1] - rows.spans[:, column]
        for place in np.flatnonzero((sizes == len(wanted)) & where).tolist():
            begin, end = rows.spans[place, column : column + 2].tolist()
            kept[place] |= text[begin:end] == wanted
    return _ratings(rows.of(kept))


def _ratings(rows: Rows) -> list[dict[str, Any]]:
    times = [each if 0 <= each <= MAX_TIMESTAMP else None for each in rows.times.tolist()]
    found: list[dict[str, Any]] = [
        {"user": user, "item": item, "rating": rating, "timestamp": time}
        for user, item, rating, time in zip(
            rows.ids(USER), rows.ids(ITEM), _short(rows.ratings), times, strict=True
        )
    ]
    for place, kind in rows.others():
        if kind == MERGE:
            user, guest, _, time = found[place].values()
            found[place] = {"user": user, "merge": guest, "timestamp": time}
            continue
        name = "user" if kind == FORGET_USER else "item"
        found[place] = {name: found[place][name], "forget": True, "timestamp": found[place]["timestamp"]}
    return found


def _short(ratings: NDArray[Any]) -> list[float | None]:
    """Ratings with as few digits as tell them apart in the journal: 0.1 and not 0.10000000149."""
    values, places = np.unique(ratings.astype(np.float32), return_inverse=True)
    short = [None if np.isnan(each) else float(str(each)) for each in values]
    return [short[place] for place in places.tolist()]

"""What the journal's tests share: rows, blocks, damaged blocks, and the rule in plain Python."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from recommender.history.rows import Rows, spanned
from recommender.journal.block import Head, Packer, Source
from recommender.journal.block_kernels import MARK
from recommender.journal.block_reader import read

TOPIC, OTHER = bytes(range(16)), bytes(range(100, 116))

ids = st.one_of(
    st.text("abc019", min_size=1, max_size=4),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
    st.sampled_from(["x" * 256, "\u20ac" * 85 + "x", "y"]),
)
values = st.one_of(
    st.none(), st.sampled_from([1.0, 4.5, 0.1, -1.0, 0.0]), st.floats(-1e30, 1e30, allow_nan=False)
)
times = st.one_of(st.sampled_from([0.0, 881250949.0, 1700000000.123]), st.floats(0, 4e10))
#: Where a header's numbers are, in which form, and how many bits may be set.
NUMBERS = [
    (4, "<H", 16),
    (8, "<i", 31),
    (12, "<I", 32),
    (16, "<q", 63),
    (24, "<q", 63),
    (32, "<I", 32),
    (36, "<I", 32),
]


class Row(NamedTuple):
    """A rating at a source offset; without a user it is no rating."""

    offset: int
    user: str | None
    item: str
    rating: float | None
    time: float


class Applied(NamedTuple):
    """A rating that counted."""

    source: Source
    offset: int
    user: str
    item: str
    rating: float | None
    time: float


class Block(NamedTuple):
    """A record of the journal."""

    offset: int
    value: bytes | None
    timestamp: int = 0


@st.composite
def rows(draw: st.DrawFn, most: int = 8, start: int = 0, gap: int = 3) -> list[Row]:
    """Rows with gaps between them, and some that are no ratings."""
    found, offset = [], start
    for _ in range(draw(st.integers(0, most))):
        offset += draw(st.integers(0, gap))
        user = draw(st.one_of(ids, ids, ids, st.none()))
        found.append(Row(offset, user, draw(ids), draw(values), draw(times)))
        offset += 1
    return found


def columns(of: Sequence[Row], *, float32: bool = False) -> tuple[Rows, NDArray[np.int64]]:
    """Rows as arrays, with what is no rating not plain, and their offsets."""
    text, spans = spanned([part.encode() for row in of for part in (row.user or "", row.item)])
    ratings = np.array([np.nan if row.rating is None else row.rating for row in of], np.float64)
    plain = np.array([row.user is not None for row in of], np.bool_)
    given = np.array([row.time for row in of], np.float64)
    offsets = np.array([row.offset for row in of], np.int64)
    return Rows(text, spans, ratings.astype(np.float32) if float32 else ratings, given, plain), offsets


def packed(of: Sequence[Row], begin: int, end: int, source: Source | None = None, decoder: int = 0) -> bytes:
    """One block."""
    made, offsets = columns(of)
    return Packer(source or Source(TOPIC, 0), decoder).pack(begin, end, made, offsets)


def narrowed(rating: float | None) -> float | None:
    """A rating as a float32 has it."""
    return None if rating is None else float(np.float32(rating))


def listed(of: Rows) -> list[tuple[str, str, float | None, float]]:
    """Rows as tuples."""
    ratings = [None if np.isnan(each) else float(each) for each in of.ratings.tolist()]
    return list(zip(of.ids(0), of.ids(2), ratings, of.times.tolist(), strict=True))


@dataclass
class PlainRule:
    """The rule block by block, as it is written down.

    Attributes
    ----------
    applied : dict of Source to int
    out : list of Applied
    outcomes : list of str
    """

    position: int = 0
    applied: dict[Source, int] = field(default_factory=dict)
    out: list[Applied] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    number: int = 0

    def _counts(self, head: Head) -> bool:
        """Tell whether a mark or copy is a block that may count."""
        if head.flags & MARK:
            if not self.outcomes and head.source.partition == 0:
                self.number = head.number
            return False
        return head.number == self.number

    def step(self, record: Block) -> None:
        """Follow one block."""
        if record.offset < self.position:
            self.outcomes.append("passed")
            return
        block = read(record.value, "journal", 0, record.offset)
        if block.head.number and not self._counts(block.head):
            self.position = record.offset + 1
            self.outcomes.append("passed")
            return
        source, have = block.head.source, self.applied.get(block.head.source, 0)
        self.position = record.offset + 1
        if block.head.begin > have:
            self.outcomes.append("ahead")
        elif block.head.end <= have:
            self.outcomes.append("duplicate")
        else:
            self.outcomes.append("applied" if block.head.begin == have else "cut")
            self.applied[source] = block.head.end
            for offset, row in zip(block.offsets.tolist(), listed(block.rows), strict=True):
                if offset >= have:
                    self.out.append(Applied(source, offset, *row))


@st.composite
def damaged(draw: st.DrawFn, value: bytes) -> bytes:
    """A block after some bytes were changed, cut off or added, or after a number of its header was."""
    made = bytearray(value)
    for _ in range(draw(st.integers(1, 3))):
        how = draw(st.sampled_from(["byte", "header", "cut", "add", "none"]))
        if how == "byte" and made:
            made[draw(st.integers(0, len(made) - 1))] = draw(st.integers(0, 255))
        elif how == "header" and len(made) >= 64:
            place, form, bits = draw(st.sampled_from(NUMBERS))
            before = struct.unpack_from(form, made, place)[0]
            near = (before + draw(st.sampled_from([-1, 1]))) % (1 << bits)
            number = draw(
                st.one_of(st.just(near), st.sampled_from([0, 1, 1000, (1 << bits) - 1]), st.just(near))
            )
            struct.pack_into(form, made, place, number)
        elif how == "cut":
            del made[draw(st.integers(0, len(made))) :]
        elif how == "add":
            made += draw(st.binary(max_size=9))
    return bytes(made)

"""Records in pieces, and where they stand."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from recommender.journal.records import offsets_of, pieces
from tests.support.doubles import few
from tests.unit.journal.blocks import Block


@few
@given(st.lists(st.integers(0, 9), max_size=20), st.integers(1, 30))
def test_pieces_are_as_large_as_they_may_be(sizes: list[int], most: int) -> None:
    records = [Block(place, bytes(size)) for place, size in enumerate(sizes)]
    found = list(pieces(records, most))
    assert [each for piece in found for each in piece] == records
    for piece, following in itertools.zip_longest(found, found[1:]):
        total = sum(len(each.value or b"") for each in piece)
        assert len(piece) == 1 or total <= most
        if following is not None:
            assert total + len(following[0].value or b"") > most


@few
@given(st.sets(st.integers(0, 2**62), min_size=1, max_size=20), st.integers(1, 5))
def test_offsets_may_have_gaps(offsets: set[int], run: int) -> None:
    for of in (sorted(offsets), list(range(min(offsets), min(offsets) + run))):
        assert offsets_of([Block(each, b"") for each in of]).tolist() == of

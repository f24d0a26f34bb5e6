# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Finds some fields of many objects in JSON in one pass over their bytes, without an object for each.

What it finds is what msgspec would read. An object in which a field that is looked for comes twice, is no
text, number or null, or is inside of what is no object is left to another decoder, and so is all that is
wrong or rare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import inlined_kernel, kernel
from recommender.ingest.json_numbers import integer, number
from recommender.ingest.json_scan import CLOSE, COLON, COMMA, OPEN, pass_value, space, starts, word
from recommender.ingest.json_strings import QUOTE, string, unescape

#: What is found at a place.
ABSENT, NULL, TEXT, INTEGER, NUMBER = range(5)
#: So many names are told apart by a bit of an int64 each.
MOST_NAMES = 60
_NULL = word("null")

Numbers = NDArray[np.int64]


class Words(NamedTuple):
    """Texts that stand one after the other, and where each ends."""

    text: NDArray[np.uint8]
    ends: Numbers

    @classmethod
    def of(cls, texts: Sequence[str]) -> Words:
        """These texts."""
        encoded = [each.encode() for each in texts]
        return cls(np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)]))


class Tree(NamedTuple):
    """The fields that are looked for.

    Attributes
    ----------
    firsts : int64 array
        The first name of each object, and past the last.
    leads : int64 array
        What is at each name: an object by its number, or a column as ``-1 - column``.
    parents : int64 array
        The object around each.
    names : Words
    """

    firsts: Numbers
    leads: Numbers
    parents: Numbers
    names: Words

    @classmethod
    def of(cls, wanted: Mapping[int, tuple[str, ...]]) -> Tree:
        """The fields of some columns, by the steps to each; none may lead through another."""
        objects: list[dict[str, int]] = [{}]
        parents = [0]
        for column, steps in wanted.items():
            at = 0
            for step in steps[:-1]:
                if step not in objects[at]:
                    objects.append({})
                    parents.append(at)
                    objects[at][step] = len(objects) - 1
                at = objects[at][step]
            objects[at][steps[-1]] = -1 - column
        names = [name for each in objects for name in each]
        leads = [lead for each in objects for lead in each.values()]
        firsts = np.cumsum([0, *map(len, objects)])
        return cls(firsts, np.array(leads, np.int64), np.array(parents, np.int64), Words.of(names))


@inlined_kernel
def _which(text, begin, end, words, first, last):
    """The word between two that stands at a place; -1 if none does."""
    size = end - begin
    for k in range(first, last):
        place = words.ends[k]
        if words.ends[k + 1] - place == size:
            same = True
            for i in range(size):
                if text[begin + i] != words.text[place + i]:
                    same = False
                    break
            if same:
                return k
    return -1


@inlined_kernel
def _value(text, at, end, column, kinds, spans, values, e):
    """Note a text, a number or null; past it, or -1."""
    if at >= end:
        return -1
    first = at
    if text[at] == QUOTE:
        past, escapes = string(text, at + 1, end)
        first, last = at + 1, unescape(text, at + 1, past - 1) if escapes and past > 0 else past - 1
        kinds[e, column] = TEXT
    elif starts(text, at, end, _NULL):
        past = last = at + 4
        kinds[e, column] = NULL
    else:
        values[e, column], past = number(text, at, end)
        last = past
        kinds[e, column] = INTEGER if integer(text, at, end) == past else NUMBER
    spans[e, 2 * column], spans[e, 2 * column + 1] = first, last
    return past


@inlined_kernel
def _find(text, at, end, tree, kinds, spans, values, e):
    """Find the fields of an object; whether that is sure."""
    inside, seen = np.int64(0), np.int64(0)
    at = space(text, at, end)
    if at >= end or text[at] != OPEN:
        return False
    at = space(text, at + 1, end)
    while True:
        if at >= end or text[at] != QUOTE:
            return False
        past, escapes = string(text, at + 1, end)
        if past < 0 or escapes:
            return False
        name = _which(text, at + 1, past - 1, tree.names, tree.firsts[inside], tree.firsts[inside + 1])
        at = space(text, past, end)
        if at >= end or text[at] != COLON:
            return False
        at = space(text, at + 1, end)
        if name >= 0:
            if seen >> name & 1:
                return False
            seen |= np.int64(1) << name
            lead = tree.leads[name]
            if lead >= 0:
                if at >= end or text[at] != OPEN:
                    return False
                inside = lead
                at = space(text, at + 1, end)
                continue
            at = _value(text, at, end, -1 - lead, kinds, spans, values, e)
        else:
            at = pass_value(text, at, end)
        if at < 0:
            return False
        # A value has ended, and so may have the objects around it.
        while True:
            at = space(text, at, end)
            if at >= end:
                return False
            if text[at] == COMMA:
                at = space(text, at + 1, end)
                break
            if text[at] != CLOSE:
                return False
            at += 1
            if inside == 0:
                return space(text, at, end) == end
            inside = tree.parents[inside]


@kernel
def find_all(text, ends, tree, words, column, kinds, spans, values, plain):
    """Find the fields of objects that stand one after the other.

    Parameters
    ----------
    text : uint8 array
        Written: texts in it without their escapes.
    ends : int64 array, shape (objects,)
        Where each ends in the text.
    tree : Tree
    words : Words
        Of a text in `column` is told which of these it is: its number in `values`, -1 for none.
    column : int
    kinds : uint8 array, shape (objects, columns)
        Written: what is in each column; ``ABSENT`` before.
    spans : int64 array, shape (objects, 2 columns)
        Written: where it begins and ends.
    values : float64 array, shape (objects, columns)
        Written: numbers.
    plain : bool array
        Written: False where it takes another to read it.
    """
    begin = np.int64(0)
    for e in range(ends.size):
        plain[e] = _find(text, begin, ends[e], tree, kinds, spans, values, e)
        if plain[e] and column >= 0 and kinds[e, column] == TEXT:
            first, last = spans[e, 2 * column], spans[e, 2 * column + 1]
            values[e, column] = _which(text, first, last, words, 0, words.ends.size - 1)
        begin = ends[e]


def warm() -> None:
    """Compile or load the kernels."""
    text = word('{"a": "b"}').copy()
    arrays = np.zeros((1, 1), np.uint8), np.zeros((1, 2), np.int64), np.zeros((1, 1)), np.zeros(1, np.bool_)
    find_all(text, np.array([len(text)]), Tree.of({0: ("a",)}), Words.of(["b"]), 0, *arrays)

"""Texts as bytes in one array, one after the other, and back."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def joined(parts: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All bytes in one array, and where each part ends."""
    text = np.frombuffer(b"".join(parts), np.uint8)
    return text, np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))


def packed_texts(texts: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The UTF-8 of all texts in one array, and where each ends."""
    return joined([utf8(each) for each in texts])


def utf8(text: str) -> bytes:
    """The bytes of a text; half a character, which has none in UTF-8, has some that nothing else has."""
    return text.encode("utf-8", "surrogatepass")


def texts_of(text: NDArray[Any], lengths: NDArray[Any]) -> list[str]:
    """The texts whose bytes stand one after the other."""
    ends = np.cumsum(lengths, dtype=np.int64).tolist()
    whole = text.tobytes()
    if whole.isascii():
        plain = whole.decode()
        return [plain[begin:end] for begin, end in pairwise([0, *ends])]
    return [whole[begin:end].decode("utf-8", "surrogatepass") for begin, end in pairwise([0, *ends])]

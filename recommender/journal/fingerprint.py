"""The fingerprint of what decides how a record is read as a rating.

Its lower 32 bits are of the scale and the rules of ratings: all ratings of a journal have the same. Its upper
ones are of the same for the ratings topic, and for another source of how its records become ratings, which
may change: `recommender.ingest.sources.mapping`.
"""

from __future__ import annotations

import hashlib

#: Goes up when the same record is read as another rating than before.
DECODER_VERSION = 1
#: The bits that all ratings of a journal have in common.
LOW = 0xFFFFFFFF


def fingerprint(low: float, high: float, *, skips: bool) -> int:
    """A number of 64 bits that is another one for ratings of another scale, or read by other rules.

    Parameters
    ----------
    low, high : float
        The scale of ratings.
    skips : bool
        A rating may be ``"skip"``.
    """
    text = f"{DECODER_VERSION} {float(low)!r} {float(high)!r} {bool(skips)}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def of_source(decoder: int, mapping: int) -> int:
    """The fingerprint of a source.

    Parameters
    ----------
    decoder : int
        What `fingerprint` says.
    mapping : int
        32 bits that tell how its records become ratings.
    """
    return (mapping & LOW) << 32 | decoder & LOW

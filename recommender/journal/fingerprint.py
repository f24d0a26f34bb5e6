"""The fingerprint of what decides how a record is read as a rating."""

from __future__ import annotations

import hashlib

#: Goes up when the same record is read as another rating than before.
DECODER_VERSION = 1


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

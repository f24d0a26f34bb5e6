"""Decodes many ratings at once, into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recommender.history.rows import Rows
from recommender.ingest import rating_json
from recommender.ingest.header_names import marked_by
from recommender.messages.content_types import HEADER as CONTENT_TYPE
from recommender.messages.content_types import is_msgpack
from recommender.messages.ratings import MAX_ID_BYTES, MAX_RATING_BYTES, MAX_TIMESTAMP, RatingDecoder


class BatchDecoder(RatingDecoder):
    """Decodes ratings one by one, and most of them in batches without an object for each."""

    def read(self, records: Sequence[Any]) -> Rows:
        """Decode the plain ones of many records at once, as most producers write them.

        Parameters
        ----------
        records : sequence
            With a `value` and `headers` each.
        """
        values = [record.value for record in records]
        count = len(values)
        try:
            joined = bytearray().join(values)
        except TypeError:  # some are null
            values = [value or b"" for value in values]
            joined = bytearray().join(values)
        text = np.frombuffer(joined, np.uint8)
        lengths = np.fromiter(map(len, values), np.int64, count)
        plain = lengths <= MAX_RATING_BYTES
        plain &= ~marked_by(
            records,
            lambda name: name.lower() == CONTENT_TYPE,
            lambda pair: is_msgpack(pair[1]),
        )
        rows = Rows(text, np.empty((count, 4), np.int64), np.empty(count), np.empty(count), plain)
        limits = (*self.scale, self.skips, float(MAX_TIMESTAMP), MAX_ID_BYTES)
        rating_json.read_all(text, np.cumsum(lengths), *limits, rows.spans, rows.ratings, rows.times, plain)
        text.flags.writeable = False  # the kernels that read it are compiled for one kind
        return rows

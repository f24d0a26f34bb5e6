"""Envelopes: what Debezium and CloudEvents put around a row or an event."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from recommender.ingest.sources.outcomes import Skip, SkipReason
from recommender.ingest.sources.values import ABSENT
from recommender.ingest.sources.views import View, attribute
from recommender.messages.content_types import content_type
from recommender.messages.refusals import BadMessage, Kind

STRUCTURED = b"application/cloudevents"
BATCH = b"application/cloudevents-batch"

IDENTITY = "the table needs REPLICA IDENTITY FULL, so that a deleted row says what it was"


class Change:
    """A change of a row, as Debezium tells of it.

    Attributes
    ----------
    before, after : object
        The row; None where there is none.
    at : str
        The path of the envelope, for errors.
    time : object
        When the source's database changed it, in milliseconds.
    """

    __slots__ = ("after", "at", "before", "time")

    def __init__(self, before: Any, after: Any, at: str, time: Any) -> None:
        self.before, self.after, self.at, self.time = before, after, at, time


def open_debezium(view: View) -> Change:
    """The change that a record tells of.

    Raises
    ------
    Skip
        It is no change of a row.
    BadMessage
        It is no envelope.
    """
    envelope, at = view.document, "$"
    payload = _field(view, envelope, "payload")
    if payload is not ABSENT and _field(view, envelope, "op") is ABSENT:
        envelope, at = payload, "$.payload"
        if payload is None:
            raise Skip(SkipReason.NULL_VALUE)
    operation = _field(view, envelope, "op")
    if operation in ("t", "m"):
        raise Skip(SkipReason.NO_CHANGE)
    if operation not in ("c", "r", "u", "d"):
        if operation is ABSENT:
            raise BadMessage(
                f"Object missing required field - at `{at}.op`: expected an envelope of Debezium (a row that "
                "was flattened needs `deleted` and no envelope)",
                Kind.ENVELOPE,
            )
        raise BadMessage(f"Expected c, r, u, d, t or m, got {operation!r} - at `{at}.op`", Kind.ENVELOPE)
    before, after = _field(view, envelope, "before"), _field(view, envelope, "after")
    source = _field(view, envelope, "source")
    time = _field(view, source, "ts_ms")
    if operation == "d":
        after = None
    elif after is ABSENT or after is None:
        raise BadMessage(f"Object missing required field - at `{at}.after`", Kind.MISSING_FIELD)
    return Change(None if before is ABSENT else before, after, at, time)


def open_cloud_event(view: View, batch: bool) -> None:
    """Let paths of a view begin in a CloudEvent's data.

    Parameters
    ----------
    view : View
    batch : bool
        Whether the content type says that it is a batch.

    Raises
    ------
    BadMessage
        It is no CloudEvent.
    """
    if batch:
        raise BadMessage(
            "a batch of CloudEvents: expected one event a record, as Kafka's binding has it", Kind.ENVELOPE
        )
    document = view.document
    said = content_type(view.record.headers)
    structured = said is not None and said.lower().startswith(STRUCTURED)
    if not structured and attribute(view.record, "specversion") is not ABSENT:
        return
    if document.__class__ is not dict or "specversion" not in document:
        raise BadMessage(
            "no CloudEvent: expected a header ce_specversion, or a field `specversion`", Kind.ENVELOPE
        )
    view.attributes = document
    if "data_base64" in document:
        view.document = _unpacked(document["data_base64"])
    else:
        view.document = document.get("data", ABSENT)


def is_batch(headers: Any) -> bool:
    """Tell whether a record is a batch of CloudEvents."""
    said = content_type(headers)
    return said is not None and said.lower().startswith(BATCH)


def _unpacked(text: Any) -> Any:
    try:
        return msgspec.json.decode(base64.b64decode(text, validate=True))
    except (TypeError, binascii.Error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadMessage("Expected JSON in base64 - at `$.data_base64`", Kind.ENVELOPE) from None


def _field(view: View, value: Any, name: str) -> Any:
    return value.get(name, ABSENT) if value.__class__ is dict else view.step(value, name)

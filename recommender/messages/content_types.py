"""The header ``content-type``: which decoder a value needs.

Only MessagePack needs another decoder than JSON, so only its names are asked for. Whatever else a producer
says of a value that is JSON - ``text/plain`` from a proxy, say - loses no record.
"""

from __future__ import annotations

from collections.abc import Sequence

Headers = Sequence[tuple[str, bytes]]

HEADER = "content-type"
JSON = "application/json"
MSGPACK = "application/msgpack"
_JSON = JSON.encode()
_MSGPACK_NAMES = frozenset(
    (
        b"application/msgpack",
        b"application/x-msgpack",
        b"application/vnd.msgpack",
        b"application/messagepack",
        b"application/x-messagepack",
    )
)
#: How much of a header is shown where it is named.
_SHOWN = 64


def content_type(headers: Headers) -> bytes | None:
    """The content type that a record's headers name, or None.

    The name may be written as in HTTP, ``Content-Type``. Of several the last counts, as in Kafka's clients.
    """
    for name, value in reversed(headers or ()):
        if len(name) == len(HEADER) and name.lower() == HEADER and value is not None:
            return value
    return None


def is_msgpack(kind: bytes | None) -> bool:
    """A content type means MessagePack."""
    return kind is not None and (kind in _MSGPACK_NAMES or (kind != _JSON and _name(kind) in _MSGPACK_NAMES))


def is_json(kind: bytes | None) -> bool:
    """A content type means JSON, or there is none."""
    if kind is None:
        return True
    name = _name(kind)
    return name in (b"application/json", b"text/json") or name.endswith(b"+json")


def shown(kind: bytes | None) -> str:
    """A content type as text, cut where it is long."""
    return (kind or b"")[:_SHOWN].decode("utf-8", "replace")


def _name(kind: bytes) -> bytes:
    return kind.partition(b";")[0].strip().lower()

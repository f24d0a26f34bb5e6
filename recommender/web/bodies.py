"""Reads the body of a call, which may be too long, too slow, cut off or of another kind."""

from __future__ import annotations

import asyncio

from aiohttp import web

from recommender.messages.content_types import is_json, is_msgpack
from recommender.messages.responses import Failure

#: How long the whole body may take, in seconds.
BODY_SECONDS = 10.0


async def read_body(
    request: web.Request, limit: int, *, packed: bool, seconds: float = BODY_SECONDS
) -> bytes:
    """The body of a call.

    Parameters
    ----------
    request : aiohttp.web.Request
    limit : int
        In bytes.
    packed : bool
        It may also be MessagePack.
    seconds : float

    Raises
    ------
    Failure
        It is compressed, of another content type, longer than the limit, did not come in time or was cut off.
    """
    _require_type(request, packed=packed)
    length = request.content_length
    if length is not None and length > limit:
        raise Failure("too_large", f"the body has {length} bytes: expected at most {limit}")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > limit:
                    raise Failure(
                        "too_large", f"the body has more than {limit} bytes: expected at most {limit}"
                    )
    except TimeoutError:
        raise Failure("timeout", f"the body did not come within {seconds:g} s", retriable=True) from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Failure("bad_request", f"the body was cut off: {error}") from None
    return bytes(body)


def _require_type(request: web.Request, *, packed: bool) -> None:
    """Only types that a page of another site cannot send without asking first."""
    coding = request.headers.get("Content-Encoding", "identity")
    if coding.lower() != "identity":
        raise Failure(
            "unsupported_media_type",
            f"header Content-Encoding has value {coding!r:.64}: expected a body that is not compressed",
        )
    given = request.headers.get("Content-Type")
    kind = None if given is None else given.encode("utf-8", "replace")
    if kind is None or not (is_json(kind) or (packed and is_msgpack(kind))):
        expected = "application/json or application/msgpack" if packed else "application/json"
        raise Failure(
            "unsupported_media_type",
            f"header Content-Type has value {given or ''!r:.64}: expected {expected}",
        )

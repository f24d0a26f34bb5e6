"""Answers in one piece: the same bytes as those of aiohttp, and only where nothing else is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import HttpVersion10, HttpVersion11, web

from recommender.kafka.local.ports import HOST, free_port
from recommender.web.written import Written, ok

BODY = b'{"ok":true}'


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Of a server that answers one path by `ok`, and another one as aiohttp does."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        found = ok(request, BODY)
        if request.path == "/plain":
            return web.Response(
                body=BODY,
                content_type="application/json",
                headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
            )
        return found

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    chosen = free_port()
    await web.TCPSite(runner, HOST, chosen).start()
    yield chosen
    await runner.cleanup()


async def said(port: int, *requests: str) -> list[tuple[str, dict[str, str], bytes]]:
    """Status, headers and body of each answer; all requests are sent at once, on one connection."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write("".join(requests).encode())
    found = []
    for _ in requests:
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = dict(line.split(": ") for line in lines)
        found.append((status, headers, await reader.readexactly(int(headers["Content-Length"]))))
    writer.close()
    await writer.wait_closed()
    return found


def asked(path: str, version: str = "1.1", **headers: str) -> str:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/{version}\r\nHost: localhost\r\n{lines}\r\n"


async def test_it_is_what_aiohttp_would_send(port: int) -> None:
    (status, headers, body), plain = await said(port, asked("/"), asked("/plain"))
    assert (status, body) == (plain[0], plain[2]) == ("HTTP/1.1 200 OK", BODY)
    assert headers.pop("Date")[-4:] == plain[1].pop("Date")[-4:] == " GMT"
    assert headers == plain[1]


async def test_what_is_sent_at_once_is_answered_in_order_on_one_connection(port: int) -> None:
    found = await said(port, *[asked("/"), asked("/plain")] * 20)
    assert [body for _, _, body in found] == [BODY] * 40


async def test_who_wants_the_connection_closed_is_told_so(port: int) -> None:
    ((_, headers, _),) = await said(port, asked("/", Connection="close"))
    assert headers["Connection"] == "close"
    ((status, headers, _),) = await said(port, asked("/", "1.0"))
    assert status.startswith("HTTP/1.0 200")


@pytest.mark.parametrize(
    ("change", "one_piece"),
    [
        ({}, True),
        ({"keep_alive": False}, False),
        ({"version": HttpVersion10}, False),
        ({"transport": None}, False),
        ({"transport": SimpleNamespace(get_write_buffer_size=lambda: 1)}, False),
    ],
)
def test_only_plain_requests_are_answered_in_one_piece(change: dict[str, Any], one_piece: bool) -> None:
    transport = SimpleNamespace(get_write_buffer_size=lambda: 0)
    request = SimpleNamespace(
        **{"version": HttpVersion11, "keep_alive": True, "transport": transport, **change}
    )
    assert isinstance(ok(cast(web.BaseRequest, request), BODY), Written) == one_piece


async def test_nothing_is_written_to_one_who_has_gone() -> None:
    for transport in (None, SimpleNamespace(is_closing=lambda: True)):
        with pytest.raises(ConnectionResetError):
            await Written(BODY).prepare(cast(web.BaseRequest, SimpleNamespace(transport=transport)))

"""Who may call."""

from __future__ import annotations

import pytest

from recommender.messages.responses import Failure
from recommender.web.guard import Guard, is_loopback

LOCAL = {"Host": "127.0.0.1:6066"}


def refused(guard: Guard, **headers: str) -> str | None:
    """The code with which a call is refused; None if it is answered."""
    try:
        guard.check({name.replace("_", "-"): value for name, value in headers.items()})
    except Failure as error:
        return error.code
    return None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.0.0.1.example"])
def test_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1:6066", "localhost", "[::1]:6066", "LOCALHOST:1"])
def test_without_a_token_this_machine_may_call(host: str) -> None:
    assert refused(Guard("127.0.0.1", ""), Host=host) is None


@pytest.mark.parametrize("host", ["shop.example:6066", "", "[", "[::1", "127.0.0.1.example", "@127.0.0.1@x"])
def test_a_name_that_was_rebound_may_not(host: str) -> None:
    assert refused(Guard("127.0.0.1", ""), Host=host) == "forbidden"


def test_without_a_token_the_network_may_not() -> None:
    assert refused(Guard("0.0.0.0", ""), Host="localhost") == "forbidden"


@pytest.mark.parametrize("given", ["Bearer t0k€n", "bearer t0k€n", "BEARER   t0k€n "])
def test_the_token(given: str) -> None:
    assert refused(Guard("0.0.0.0", "t0k€n"), Host="shop.example", Authorization=given) is None


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "t0k€n", "Basic t0k€n", "Bearer t0k€", "Bearer \udcff"]
)
def test_another_token(given: str) -> None:
    assert refused(Guard("127.0.0.1", "t0k€n"), **LOCAL, Authorization=given) == "unauthorized"
    assert refused(Guard("127.0.0.1", "t0k€n"), **LOCAL) == "unauthorized"


@pytest.mark.parametrize("token", ["", "secret"])
@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("http://127.0.0.1:6066", None),
        ("https://127.0.0.1:6066", None),
        ("http://127.0.0.1:80", "forbidden"),
        ("http://shop.example", "forbidden"),
        ("null", "forbidden"),
        ("", "forbidden"),
        ("http://[", "forbidden"),
    ],
)
def test_pages_of_other_origins(token: str, origin: str, code: str | None) -> None:
    guard = Guard("127.0.0.1", token)
    assert refused(guard, **LOCAL, Origin=origin, Authorization=f"Bearer {token}") == code


@pytest.mark.parametrize(
    ("site", "code"),
    [("same-origin", None), ("none", None), ("cross-site", "forbidden"), ("Same-Site", "forbidden")],
)
def test_pages_of_other_sites(site: str, code: str | None) -> None:
    assert refused(Guard("127.0.0.1", ""), **LOCAL, Sec_Fetch_Site=site) == code

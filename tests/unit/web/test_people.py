"""To whom the live page shows persons."""

from __future__ import annotations

import pytest

from recommender.web.guard import People


@pytest.mark.parametrize(
    ("setting", "host", "token", "asked", "shown"),
    [
        ("auto", "127.0.0.1", "", "127.0.0.1:6066", True),
        ("auto", "127.0.0.1", "", "localhost:6066", True),
        ("auto", "::1", "", "[::1]:6066", True),
        ("auto", "127.0.0.1", "", "shop.example.com", False),
        ("auto", "127.0.0.1", "", "127.0.0.1.example.com:6066", False),
        ("auto", "127.0.0.1", "", "", False),
        ("auto", "127.0.0.1", "secret", "127.0.0.1:6066", False),
        ("auto", "0.0.0.0", "", "127.0.0.1:6066", False),
        ("on", "0.0.0.0", "secret", "shop.example.com", True),
        ("off", "127.0.0.1", "", "127.0.0.1:6066", False),
    ],
)
def test_to_whom(setting: str, host: str, token: str, asked: str, shown: bool) -> None:
    assert People(setting, host, token).are_shown({"Host": asked}) is shown

"""Access: with a token, or only from this machine; nothing from foreign pages; and who sees persons."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from recommender.messages.responses import Failure

#: What a browser says of a request that another site's page has sent.
FOREIGN = ("cross-site", "same-site")
#: No name of a host and port is longer.
MAX_NETLOC = 300


def is_loopback(host: str) -> bool:
    """Return True if a host's name or address is this machine's own, whatever the network."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Decides which calls are answered.

    Parameters
    ----------
    host : str
        Where the server listens.
    token : str
        What a call must bring; empty: none is asked for, and only this machine is answered.
    """

    def __init__(self, host: str, token: str) -> None:
        self._token = token.encode()
        self._local = is_loopback(host)

    def check(self, headers: Mapping[str, str]) -> None:
        """Pass a call with these headers.

        Raises
        ------
        Failure
            It is not answered; the message says what it lacks.
        """
        self._refuse_foreign_pages(headers)
        if self._token:
            self._require_token(headers.get("Authorization"))
        elif not self._local:
            raise Failure(
                "forbidden",
                "RECOMMENDER_WEB_HOST opens this worker to the network, so RECOMMENDER_WEB_TOKEN must be set",
            )
        elif not _is_own(headers.get("Host", "")[:MAX_NETLOC]):
            # A page whose name suddenly leads to this machine would be no foreign page.
            host = host_of(headers.get("Host", ""))
            raise Failure(
                "forbidden",
                f"header Host has value {host!r:.64}: expected this machine's own, as no token is set",
            )

    def _require_token(self, given: str | None) -> None:
        if given is None:
            raise Failure("unauthorized", "header Authorization is missing: expected Bearer TOKEN")
        scheme, _, token = given.partition(" ")
        brought = token.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(brought, self._token):
            raise Failure(
                "unauthorized", "header Authorization does not hold the token of RECOMMENDER_WEB_TOKEN"
            )

    def _refuse_foreign_pages(self, headers: Mapping[str, str]) -> None:
        site = headers.get("Sec-Fetch-Site", "").lower()
        if site in FOREIGN:
            raise Failure(
                "forbidden", f"header Sec-Fetch-Site has value {site!r}: calls of other sites are refused"
            )
        origin = headers.get("Origin")
        if origin is not None and _netloc(origin) != headers.get("Host", "").lower():
            raise Failure(
                "forbidden", f"header Origin has value {origin!r:.64}: calls of other sites are refused"
            )


@lru_cache(maxsize=64)
def _is_own(netloc: str) -> bool:
    return is_loopback(host_of(netloc))


def host_of(netloc: str) -> str:
    """The host of a HOST:PORT, without the brackets of an IPv6 address."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


class People:
    """Decides by the headers of a call whether the live page shows its sender who rated what.

    Parameters
    ----------
    setting : str
        ``on``, ``off``, or ``auto``: only this machine, while the worker listens to nobody else and asks for
        no token. A page whose name was made to lead to this machine names another host, so it does not count
        as this machine.
    host : str
        Where the worker listens.
    token : str
        What calls must bring; empty: nothing.
    """

    def __init__(self, setting: str, host: str, token: str) -> None:
        self._setting = setting
        self._local = is_loopback(host) and not token

    def are_shown(self, headers: Mapping[str, str]) -> bool:
        """Return True if they are shown to the sender of these headers."""
        if self._setting != "auto":
            return self._setting == "on"
        return self._local and is_loopback(host_of(headers.get("Host", "")))

"""The readers to whom the live page shows persons."""

from __future__ import annotations

from collections.abc import Mapping

from recommender.web.guard import host_of, is_loopback


class People:
    """Decides by the headers of a call whether its sender may see who rated what.

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

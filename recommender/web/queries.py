"""A request as the query of an address, ``?user=42&n=10``, made into the JSON that the topic takes."""

from __future__ import annotations

import math
import re
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from recommender.messages.ratings import BadMessage

#: A query has no more parameters than this.
MAX_PARAMETERS = 1000
_INTEGER = re.compile(r"-?\d{1,18}")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,3})?")
_PLACE = re.compile(r"(\d{1,18}):(\d{1,18})")
TEXTS = ("user", "similar_to", "arm", "window")
FLAGS = ("include_rated", "explain", "titles", "popular")
LISTS = ("items", "exclude", "categories", "not_categories", "history")


def request_of(query: str, **given: str) -> bytes:
    """The request that a query asks for, as JSON.

    Parameters
    ----------
    query : str
        As it comes, percent-encoded; of equal parameters the last counts, but for those that are lists.
    **given
        Fields that do not come from the query and win over it.

    Raises
    ------
    BadMessage
        It is no query; what its values must be is checked with the request.
    """
    pairs = _pairs(query)
    fields: dict[str, Any] = {}
    for name, text in pairs:
        if name in LISTS:
            fields.setdefault(name, []).append(text)
        elif name in FLAGS:
            fields[name] = {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
        elif name == "after":
            fields[name] = _after(text)
        elif name in TEXTS:
            fields[name] = text
        else:
            fields[name] = _number(text)
    return msgspec.json.encode({**fields, **given})


def _pairs(query: str) -> list[tuple[str, str]]:
    """Names and values, in order."""
    if query.isascii() and "%" not in query and "+" not in query and query.count("&") < MAX_PARAMETERS:
        found = (each.partition("=") for each in query.split("&") if each)
        return [(name, text) for name, _, text in found]
    try:
        return parse_qsl(
            query, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except ValueError as error:
        what = (
            "not UTF-8" if isinstance(error, UnicodeDecodeError) else f"more than {MAX_PARAMETERS} parameters"
        )
        raise BadMessage(f"the query is {what}" if "UTF" in what else f"the query has {what}") from None


def item_of(raw: str) -> str:
    """The item's id in one percent-encoded segment of a path; ``%2F`` is a slash of the id.

    Raises
    ------
    BadMessage
        It is not UTF-8.
    """
    try:
        return unquote(raw, encoding="utf-8", errors="strict")
    except UnicodeDecodeError:
        raise BadMessage(f"the path has item {raw!r:.64}: not UTF-8") from None


def _number(text: str) -> Any:
    """A number where it is one: else the text itself, which is refused by its field."""
    if _INTEGER.fullmatch(text):
        return int(text)
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else text


def _after(text: str) -> Any:
    """An offset, ``PARTITION:OFFSET``, or ``journal:OFFSET``."""
    place = _PLACE.fullmatch(text)
    if place:
        return {"partition": int(place[1]), "offset": int(place[2])}
    journal = text.removeprefix("journal:")
    return {"journal": _number(journal)} if journal != text else _number(text)

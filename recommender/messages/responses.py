"""The wire: responses and failures out, as JSON."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson


class Reason(NamedTuple):
    """An item that the user has rated, and its share in a recommendation, from 0 to 1."""

    item: str
    share: float


class Recommended(NamedTuple):
    """One place of a list of recommendations.

    Attributes
    ----------
    item : str
        Its id.
    score : float
        As the model gives it; higher is better, and only scores of one list can be compared.
    source : str
        ``exploit`` for the best that was left, ``explore`` for what chance chose.
    neighbours : int or None
        How many neighbours support the score, where the model has such a notion.
    because : list of Reason or None
        Items of the user that led to this one, if the request asks for reasons.
    cold_start : bool
        Nobody has rated the item, so the score is what the model expects of any such item.
    boost : float or None
        What the items topic says that the score is raised or lowered with; `score` has it already.
    title : str or None
        What the items topic calls the item, if the request asks for titles.
    """

    item: str
    score: float
    source: str = "exploit"
    neighbours: int | None = None
    because: list[Reason] | None = None
    cold_start: bool = False
    boost: float | None = None
    title: str | None = None


class Response(NamedTuple):
    """The answer to a request.

    Attributes
    ----------
    user : str or None
        None where similar items were asked for.
    items : list of Recommended
        Best first.
    model, arm : str
        What answered.
    cold_start : bool
        No rating of the user stands, so these are what anybody new gets: mostly the popular items.
    partition, offset : int
        The last rating of the user's partition that the answer knows of; offset -1 is before the first.
    journal : int
        The last offset of the journal that was followed.
    forced : bool
        The request named the arm, so it says nothing about whom an experiment gave that arm.
    explained : bool
        False where reasons were asked for and the model has none.
    fewer : str or None
        In words, why the list is shorter than was asked for, where the items topic or a filter had a part.
    """

    user: str | None
    items: list[Recommended]
    model: str
    arm: str
    cold_start: bool
    partition: int
    offset: int
    journal: int
    forced: bool = False
    explained: bool = True
    fewer: str | None = None

    def encode(self) -> bytes:
        """The response as it goes out."""
        items: list[dict[str, Any]] = []
        for each in self.items:
            shown: dict[str, Any] = {"item": each.item, "score": each.score, "source": each.source}
            if each.neighbours is not None:
                shown["neighbours"] = each.neighbours
            if each.because is not None:
                shown["because"] = [reason._asdict() for reason in each.because]
            if each.cold_start:
                shown["cold_start"] = True
            if each.boost is not None:
                shown["boost"] = each.boost
            if each.title is not None:
                shown["title"] = each.title
            items.append(shown)
        body = {
            "ok": True,
            "user": self.user,
            "items": items,
            "model": self.model,
            "arm": self.arm,
            "cold_start": self.cold_start,
            "as_of": {"partition": self.partition, "offset": self.offset, "journal": self.journal},
        }
        if self.forced:
            body["forced"] = True
        if not self.explained:
            body["explained"] = False
        if self.fewer is not None:
            body["fewer"] = self.fewer
        return orjson.dumps(body)


class Failure(Exception):
    """The answer to a request that cannot be answered.

    Attributes
    ----------
    code : str
        ``bad_request``, ``deadline_exceeded``, ``not_caught_up``, ``wrong_partition``, ``internal_error``,
        ``reply_topic_not_allowed``, ``reply_topic_unavailable`` or ``reply_not_accepted``.
    message : str
        One sentence for a person.
    retriable : bool
        The same request may succeed later.
    """

    def __init__(self, code: str, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retriable = retriable

    def encode(self) -> bytes:
        """The failure as it goes out."""
        # What an exception says may hold what is no character: half of one, as from a file's name.
        message = self.message.encode(errors="replace").decode()
        error = {"code": self.code, "message": message, "retriable": self.retriable}
        return orjson.dumps({"ok": False, "error": error})

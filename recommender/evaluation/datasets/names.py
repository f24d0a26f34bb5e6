"""Names of columns: what well-known data sets call the user, the item, the rating and its time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from recommender.errors import SourceError


def _with_ids(*words: str) -> tuple[str, ...]:
    """Each word, and the same with ``id`` after it, which is looked for first."""
    return tuple(name for word in words for name in (f"{word}id", word))


# In lower case and without anything but letters and digits. Where a file has several, the first here counts.
USER = (
    *("user", "userid", "uid", "username", "reviewerid", "reviewprofilename"),
    *_with_ids("visitor", "customer", "member", "profile", "account", "client", "reader", "listener"),
    *("sessionid", "session"),
)
ITEM = (
    *("item", "itemid", "iid", "movie", "movieid", "product", "productid"),
    # Reviews of products name the variant and the product: the product is what others have too.
    *("parentasin", "asin", "isbn"),
    *_with_ids("artist", "business", "book", "track", "song", "album", "video", "article", "news"),
    *_with_ids("game", "app", "anime", "recipe", "restaurant", "hotel", "venue", "place", "poi", "location"),
    *_with_ids("joke", "beerbeer", "beer", "wine", "photo", "repo", "course", "podcast", "offer", "sku"),
    *("gmapid", "workid", "stockcode", "malid"),
)
RATING = ("rating", "score", "stars", "overall", "label", "reviewoverall", "liked", "like", "preference")
TIMESTAMP = (
    *("timestamp", "time", "ts", "unixtime", "unixreviewtime", "reviewtime"),
    *("datetime", "date", "createdat", "reviewdate", "ratedat"),
)

_KNOWN = (USER, ITEM, RATING, TIMESTAMP)


class Columns(NamedTuple):
    """The positions of the columns; -1 where a file has none. The user's and the item's are always there."""

    user: int
    item: int
    rating: int
    timestamp: int


def is_header(fields: Sequence[str]) -> bool:
    """The fields are names: among them one of a user and one of an item."""
    plain = {plainly(field) for field in fields}
    return not plain.isdisjoint(USER) and not plain.isdisjoint(ITEM)


def columns(path: Path, names: Sequence[str], expected: str) -> Columns:
    """The columns of a file whose header has these names.

    Raises
    ------
    SourceError
        There is no column of users, or none of items.
    """
    plain = [plainly(name) for name in names]

    def find(known: Sequence[str]) -> int:
        # Book-Rating and review_timestamp are what their endings say.
        alike = [name for name in plain if name.endswith(known[0]) and known in (RATING, TIMESTAMP)]
        return next((plain.index(name) for name in (*known, *alike) if name in plain), -1)

    for what, known in (("user", USER), ("item", ITEM)):
        if find(known) < 0:
            listed = ", ".join(names)
            raise SourceError(f"{path} line 1: no column for the {what} among {listed[:200]}; {expected}")
    return Columns(*map(find, _KNOWN))


def plainly(name: str) -> str:
    """A name as it is compared: ``User-ID`` is ``userid``."""
    return re.sub("[^a-z0-9]", "", name.lower())

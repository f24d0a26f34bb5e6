"""A journal that forgets and merges, in memory, and its rewriting without Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from recommender.history.rows import FORGET_ITEM, FORGET_USER, MERGE, RATING, Rows, spanned
from recommender.journal.block import BEGINS, COMPLETE, Packer, Source, mark
from recommender.journal.copies import Copies
from recommender.journal.forgotten import Forgotten
from recommender.journal.replica import Replica
from recommender.journal.rule import Rule
from recommender.shard.options import ShardOptions
from tests.unit.journal.blocks import TOPIC, Block

SOURCE = Source(TOPIC, 0)
KINDS = {"rate": RATING, "forget": FORGET_USER, "forget item": FORGET_ITEM, "merge": MERGE}
#: What happens, the user, and the item or the guest.
Event = tuple[str, str, str]

_users, _items = st.sampled_from(["ann", "bob", "guest"]), st.sampled_from(["i1", "i2", "*"])


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    """Ratings of few users and items, with guests who log in, and users and items that are forgotten."""
    found: list[Event] = []
    for _ in range(draw(st.integers(1, 25))):
        kind = draw(st.sampled_from(["rate"] * 5 + ["forget", "forget item", "merge"]))
        user, item = draw(_users), draw(_items)
        if kind == "merge":
            item = draw(st.sampled_from([each for each in ("ann", "bob", "guest") if each != user]))
        found.append((kind, "*" if kind == "forget item" else user, "*" if kind == "forget" else item))
    return found


def rows_of(happened: Sequence[Event], first: int = 0) -> Rows:
    """Rows, of which the first is the event of this number."""
    text, spans = spanned([part.encode() for _, user, item in happened for part in (user, item)])
    kinds = np.array([KINDS[kind] for kind, _, _ in happened], np.uint8)
    numbers = np.arange(first, first + len(happened))
    values = np.where(kinds == RATING, numbers % 5 + 1.0, np.nan).astype(np.float64)
    plain = np.ones(len(kinds), np.bool_)
    return Rows(
        text, spans, values, (1e9 + numbers).astype(np.float64), plain, kinds if kinds.any() else None
    )


def blocks_of(happened: Sequence[Event], sizes: Iterable[int], source: Source = SOURCE) -> list[bytes]:
    """Events in blocks of some sizes, those that are left in one more."""
    found, first = [], 0
    for size in (*sizes, len(happened)):
        part = happened[first : first + size]
        if part:
            rows, offsets = rows_of(part, first), np.arange(first, first + len(part))
            found.append(Packer(source).pack(first, first + len(part), rows, offsets))
            first += len(part)
    return found


def numbered(values: Sequence[bytes], first: int = 0) -> list[Block]:
    """Records of the journal from an offset on."""
    return [Block(first + number, value) for number, value in enumerate(values)]


def rewritten(journal: Sequence[Block], number: int = 7) -> list[Block]:
    """What a rewriting appends to a journal."""
    begin, forgotten = journal[-1].offset + 1, Forgotten()
    forgotten.note(Rule("journal").follow(journal).rows, 0)
    forgotten.settle()
    copies = Copies(forgotten, number).of(Rule("journal").follow(journal), 0, cleanse=True)
    values = [mark(BEGINS, number), *(each.value for each in copies), mark(COMPLETE, number, begin)]
    return numbered(values, begin)


def replica_of(journal: Sequence[Block], first: int = 0) -> Replica:
    """A replica that has followed a journal from an offset on."""
    replica = Replica(Rule("journal"), ShardOptions(test_every=0))
    if first:
        replica.skip_to(first)
    replica.apply([each for each in journal if each.offset >= first])
    return replica


def standing(replica: Replica) -> dict[str, list[Any]]:
    """The ratings that stand, by user, in the order in which they were given."""
    shard, found = replica.shard, {}
    for index, user in enumerate(shard.users.ids()):
        if user:
            items, ratings, _ = shard.history.rated(index)
            pairs = zip(items.tolist(), ratings.tolist(), strict=True)
            found[user] = [(shard.items.id_at(item), value) for item, value in pairs]
    return {user: rated for user, rated in found.items() if rated}

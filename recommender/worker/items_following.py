"""Follows the items topic, and sources of items, from their beginning on each start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from recommender.ingest.sources.item_decoder import ItemDecoder
from recommender.ingest.sources.items_file import ItemsMapping
from recommender.ingest.sources.outcomes import Skip
from recommender.items.store import ItemStore
from recommender.kafka.topics import TopicInfo, Topics
from recommender.messages.items import decode_item
from recommender.worker.topic_following import TopicFollowing


class ItemsFollowing(TopicFollowing):
    """Keeps a store as the items topic says.

    Parameters
    ----------
    store : ItemStore
    topic, options, identify, counted
        As `TopicFollowing` has them.
    changed : function
        Called after records were taken over.
    """

    def __init__(
        self,
        store: ItemStore,
        topic: str,
        options: Mapping[str, Any],
        identify: Callable[[], TopicInfo],
        changed: Callable[[], None],
        counted: Callable[[str, int], None],
    ) -> None:
        super().__init__(topic, options, identify, counted)
        self._store, self._changed = store, changed

    def take(self, records: Sequence[Any]) -> int:
        """Take over what records say of items."""
        return self.take_each(records, self._take)

    def _take(self, record: Any) -> None:
        self._store.put(*decode_item(record.key, record.value, record.headers))

    def taken(self) -> None:
        """Tell of the change."""
        self._changed()

    def size(self) -> str:
        """The number of items, in words."""
        return f"{len(self._store)} items"

    def status(self) -> dict[str, Any]:
        """The part of the status page about items."""
        return {
            **super().status(),
            "items": len(self._store),
            "unavailable": self._store.hiding,
            "categories": len(self._store.categories),
        }

    def source_status(self) -> dict[str, Any]:
        """The part of the status page about one topic of several."""
        return super().status()


class ItemSourceFollowing(ItemsFollowing):
    """Keeps a store as a source of items says.

    Parameters
    ----------
    decoder : ItemDecoder
    store, options, identify, changed, counted
        As `ItemsFollowing` has them.
    """

    def __init__(
        self,
        decoder: ItemDecoder,
        store: ItemStore,
        options: Mapping[str, Any],
        identify: Callable[[], TopicInfo],
        changed: Callable[[], None],
        counted: Callable[[str, int], None],
    ) -> None:
        super().__init__(store, decoder.mapping.topic, options, identify, changed, counted)
        self._decoder = decoder

    def take(self, records: Sequence[Any]) -> int:
        """Take over what records say of items, but for those that say nothing."""
        skipped = 0

        def take(record: Any) -> None:
            nonlocal skipped
            try:
                for item, info in self._decoder.decode(record):
                    self._store.put(item, info)
            except Skip:
                skipped += 1

        taken = self.take_each(records, take) - skipped
        self._counted("skipped", skipped)
        return taken


class Catalogue:
    """All topics that say what is known of items: the items topic, and sources.

    Parameters
    ----------
    store : ItemStore
        What they say together; of an item of which several tell, what was read last.
    names : Topics
    mappings : iterable of ItemsMapping
    options : mapping
        aiokafka's.
    identify : function
        What asks for a topic as it is now, given its name.
    changed : function
        Called with the store after records were taken over.
    counted : function
        Told of records: what became of them, and how many.

    Attributes
    ----------
    followings : list of ItemsFollowing
    """

    def __init__(
        self,
        store: ItemStore,
        names: Topics,
        mappings: Iterable[ItemsMapping],
        options: Mapping[str, Any],
        identify: Callable[[str], Callable[[], TopicInfo]],
        changed: Callable[[ItemStore], None],
        counted: Callable[[str, int], None],
    ) -> None:
        given = partial(changed, store), counted
        own = ItemsFollowing(store, names.items, options, identify(names.items), *given)
        self.followings = [own]
        self._sources: dict[str, ItemsFollowing] = {}
        for each in mappings:
            source = ItemSourceFollowing(ItemDecoder(each), store, options, identify(each.topic), *given)
            self._sources[each.name] = source
            self.followings.append(source)

    def status(self) -> dict[str, Any]:
        """The part of the status page about the items topic, and about sources by their names."""
        sources = {name: each.source_status() for name, each in self._sources.items()}
        return {**self.followings[0].status(), "sources": sources}

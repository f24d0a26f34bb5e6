"""The categories of an item, as filters of an `ItemStore` see them."""

from __future__ import annotations

from recommender.items.store import ItemStore


def categories_of(store: ItemStore, item: str) -> set[str]:
    """All categories by which a filter lets the item pass."""
    row = store.row_of(item)
    if row is None:
        return set()
    passes = {name: store.allowed([name], []) for name in store.categories}
    return {name for name, sets in passes.items() if sets is not None and sets[store.sets[row]]}

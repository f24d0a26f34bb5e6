"""Values for property tests: ids, and JSON of any kind."""

from __future__ import annotations

from hypothesis import strategies as st

identifiers = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)

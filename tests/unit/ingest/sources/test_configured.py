"""What follows from the sources for other settings."""

from __future__ import annotations

import pytest

from recommender.checkpoints.identity import canonical
from recommender.ingest.sources.configured import mappings_of, with_repeats
from recommender.settings import Settings
from recommender.shard.options import ShardOptions, learned_settings

EVENTS = "[a]\nevent = 'type'\n[a.events]\nview = 1"


@pytest.mark.parametrize(
    ("sources", "repeats", "expected"),
    [
        ("", "auto", "replace"),
        ("[a]", "auto", "replace"),
        (EVENTS, "auto", "highest"),
        (EVENTS, "replace", "replace"),
        ("", "highest", "highest"),
    ],
)
def test_a_source_with_events_lets_the_highest_stand(sources: str, repeats: str, expected: str) -> None:
    config = Settings(sources=sources, repeats=repeats)
    found = with_repeats(config, mappings_of(config))
    assert found.repeats == expected
    assert ShardOptions.of(found).highest == (expected == "highest")


def test_checkpoints_that_do_not_say_are_of_ratings_that_replace() -> None:
    learned = learned_settings(Settings())
    before = {name: value for name, value in learned.items() if name != "repeats"}
    assert canonical(before) == canonical(learned) == canonical({**learned, "repeats": "replace"})
    assert canonical(before) != canonical({**learned, "repeats": "highest"})

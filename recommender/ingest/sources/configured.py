"""The sources that the settings name, and what follows from them for other settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from recommender.ingest.sources import file, impressions_file, items_file
from recommender.ingest.sources.items_file import ItemsMapping
from recommender.ingest.sources.mapping import SourceMapping, SourcesError
from recommender.ingest.sources.registry import Registry
from recommender.ingest.sources.schema_reader import SchemaReader
from recommender.settings import Settings
from recommender.shard.feedback import Feedback


def mappings_of(config: Settings) -> list[SourceMapping]:
    """The sources that the settings name.

    Raises
    ------
    SourcesError
        One of them cannot be.
    """
    if not config.sources.strip():
        return []
    feedback = Feedback.parse(config.feedback, config.rating_min, config.rating_max)
    return file.load(config.sources, feedback.low, feedback.high)


def item_mappings_of(config: Settings) -> list[ItemsMapping]:
    """The sources that say what is known of items.

    Raises
    ------
    SourcesError
        One of them cannot be.
    """
    return items_file.parse(*file.text_of(config.sources)) if config.sources.strip() else []


def impressions_of(config: Settings) -> list[SourceMapping]:
    """The sources that say what users were shown.

    Raises
    ------
    SourcesError
        One of them cannot be.
    """
    return impressions_file.parse(*file.text_of(config.sources)) if config.sources.strip() else []


def with_log_for(config: Settings, impressions: Sequence[SourceMapping]) -> Settings:
    """The settings by which lists are logged: where impressions are read, `hide_seen` needs no log."""
    return replace(config, hide_seen=0) if impressions else config


def with_repeats(config: Settings, mappings: Iterable[SourceMapping]) -> Settings:
    """The settings, with what `repeats` means where it is ``auto``: a view must not take a purchase back."""
    if config.repeats != "auto":
        return config
    return replace(config, repeats="highest" if any(each.events for each in mappings) else "replace")


def registry_of(config: Settings) -> Registry | None:
    """The schema registry, if there is one."""
    if not config.registry:
        return None
    return Registry(config.registry, config.registry_user, config.registry_password, config.registry_cafile)


def reader_of(mapping: SourceMapping, registry: Registry | None) -> SchemaReader | None:
    """The reader of a source's values by their schemas; None where they have none.

    Raises
    ------
    SourcesError
        They have some, and nothing says where these are.
    """
    if mapping.schema or (registry is not None and mapping.format != "msgpack"):
        return SchemaReader(mapping, registry)
    if mapping.format in ("avro", "protobuf"):
        raise SourcesError(
            f"source `{mapping.name}` has format {mapping.format}: expected RECOMMENDER_REGISTRY, or `schema`"
        )
    return None

"""Every setting once: name, environment variable, unit, default and what it does.

Settings are read at the edge of the program, in one call of `load`, and handed down as one frozen
`Settings`. Nothing below the edge reads the environment.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from recommender.errors import RecommenderError
from recommender.messages.requests import MAX_HOURS, MAX_TIMES

PREFIX = "RECOMMENDER_"


class SettingsError(RecommenderError):
    """A setting has a value that cannot be, or a name that does not exist."""


def _setting(
    default: Any,
    about: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    learned: bool = False,
    secret: bool = False,
    none: bool = False,
) -> Any:
    """Declare one setting.

    `learned` marks those that change what is learned from the same log, and `none` those of which 0 means
    that there is no such bound: it is written ``none``.
    """
    metadata = {
        "about": about,
        "unit": unit,
        "low": low,
        "high": high,
        "choices": choices,
        "learned": learned,
        "secret": secret,
        "none": none,
    }
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """The worker's settings, all with a default that works on a laptop."""

    broker: str = _setting("localhost:9092", "Kafka's bootstrap servers, separated by commas")
    broker_wait: float = _setting(
        60.0, "how long to wait at start for a broker that is not there yet", unit="seconds", low=0
    )
    group: str = _setting(
        "recommender",
        "the consumer group of the ratings; that of the requests has `-requests` behind this name",
    )
    topic_prefix: str = _setting("", "put in front of every topic name, but not of those of `sources`")
    sources: str = _setting(
        "",
        "further topics whose records become ratings: a TOML file that says how, or its content if it begins "
        "with `[`; see docs/sources.md",
    )
    max_rejected: float = _setting(
        50.0,
        "a worker ends if more of the first 1,000 records of a source cannot be mapped, instead of turning a "
        "topic into dead letters; 100 never",
        unit="percent",
        low=0,
        high=100,
    )
    partitions: int = _setting(
        1, "partitions of the topics that `recommender topics` creates, but for the journal", low=1, high=4096
    )
    journal_partitions: int = _setting(
        1,
        "partitions of the journal that `recommender topics` creates: more than one only if what is learned "
        "does not fit into one worker's memory, as it costs quality",
        low=1,
        high=256,
    )
    replication: int = _setting(1, "copies of each partition in topics that are created", low=1, high=32)
    feedback: str = _setting(
        "graded:4",
        "which ratings teach: graded:T (all, weighted by value; those >= T are targets), "
        "positive:T (only those >= T) or signed (+1 and -1)",
        learned=True,
    )
    rating_min: float = _setting(
        float("nan"), "the lowest rating accepted; unset: -1 for signed, else 0.5", learned=True
    )
    rating_max: float = _setting(
        float("nan"), "the highest rating accepted; unset: 1 for signed, else 5", learned=True
    )
    registry: str = _setting(
        "", "the schema registry of the sources: its URL, with the path that Confluent's clients are given"
    )
    registry_user: str = _setting("", "the name to log in to the registry with")
    registry_password: str = _setting("", "the password to log in to the registry with", secret=True)
    registry_cafile: str = _setting(
        "", "file of the authorities to trust at the registry; empty: the system's"
    )
    repeats: str = _setting(
        "auto",
        "which of a user's ratings of an item stands: replace (the last) or highest (until it is withdrawn); "
        "auto: highest as soon as a source has events, else replace",
        choices=("auto", "replace", "highest"),
        learned=True,
    )
    model: str = _setting(
        "blend", "the model, as NAME or NAME/option=value; see `recommender models`", learned=True
    )
    arms: str = _setting(
        "",
        "several models side by side, each for its share of the users, as MODEL:SHARE,MODEL:SHARE instead of "
        "`model`; shares may change later",
        learned=True,
    )
    experiment: str = _setting("default", "the experiment's name; another one assigns users to arms again")
    explore: str = _setting(
        "none",
        "what else to show than the best: epsilon:E (each place with probability E), softmax:T, thompson",
    )
    recommendations_log: str = _setting(
        "auto",
        "whether what was recommended is logged to a topic; auto: if there is more than one arm, or "
        "`hide_seen` is set and there is no source of impressions",
        choices=("auto", "on", "off"),
    )
    hide_seen: int = _setting(
        0,
        "leave out what was shown to a user this many times and not rated, by the recommendations log or a "
        "source of impressions; 0: nothing, unless a request asks for it",
        unit="times",
        low=0,
        high=MAX_TIMES,
    )
    hide_seen_for: float = _setting(
        24.0,
        "how long what was shown counts for that; it is read so far back at the start, and requests may "
        "ask for less",
        unit="hours",
        low=0.01,
        high=MAX_HOURS,
    )
    max_users: int = _setting(
        1_000_000,
        "the most users that are kept for each partition of the journal; those active longest ago leave "
        "first; none: all are kept",
        low=2,
        high=2**31 - 1,
        learned=True,
        none=True,
    )
    max_items: int = _setting(
        500_000,
        "the most items that are kept for each partition of the journal; those rated longest ago leave "
        "first; none: all are kept",
        low=2,
        high=2**31 - 1,
        learned=True,
        none=True,
    )
    max_ratings: int = _setting(
        12_000_000,
        "the most ratings that are kept for each partition of the journal; users active longest ago leave "
        "first; none: all are kept",
        low=2,
        high=2**40,
        learned=True,
        none=True,
    )
    max_ratings_per_user: int = _setting(
        10_000,
        "the most ratings that are kept of one user, the newest; none: all are kept",
        low=2,
        high=2**31 - 1,
        learned=True,
        none=True,
    )
    user_ttl: float = _setting(
        0.0,
        "users without an event for this long, by the times of the ratings, leave; none: they all stay",
        unit="days",
        low=0.1,
        high=36500,
        learned=True,
        none=True,
    )
    item_ttl: float = _setting(
        0.0,
        "items that nobody rates for this long, by the times of the ratings, leave; none: they all stay",
        unit="days",
        low=0.1,
        high=36500,
        learned=True,
        none=True,
    )
    seed: int = _setting(0, "the only source of randomness", low=0, high=2**31 - 1, learned=True)
    journal_retention: float = _setting(
        0.0,
        "blocks of the journal that are older, and in all kept checkpoints, are deleted; 0: none ever is. A "
        "new worker needs a checkpoint then, and retraining learns what is left",
        unit="days",
        low=0,
        high=36500,
    )
    checkpoints: str = _setting(
        "checkpoints", "where the checkpoints are: a directory, or a URL such as s3://bucket/prefix"
    )
    checkpoint_interval: float = _setting(
        60.0,
        "how often what was learned is saved, by the journal's clock; a large state less often",
        unit="seconds",
        low=0.1,
        high=3600,
    )
    learn_slice: float = _setting(
        3.0, "how long learning holds up requests that keep coming", unit="milliseconds", low=0.1, high=1000
    )
    fetch_records: int = _setting(
        4000, "records of all partitions together in one fetch", unit="records", low=1, high=100_000
    )
    reply_topics: str = _setting(
        "recommendation-responses*,*-replies,*.reply",
        "topics that a request may name for its reply; shell patterns separated by commas",
    )
    request_wait: float = _setting(
        30.0, "how long a request with `after` may wait for learning to get there", unit="seconds", low=0
    )
    request_max_age: float = _setting(
        60.0,
        "where the group has no committed offset: how old a request may be, by its record's time",
        unit="seconds",
        low=0,
    )
    trending_hours: int = _setting(
        0,
        "for how many hours back requests may ask for the popular items of a `window`; 0: for none, which "
        "saves counting",
        unit="hours",
        low=0,
        high=168,
    )
    test_every: int = _setting(
        100,
        "one in this many positive ratings is first used to test the model, of long streams fewer; "
        "1 tests all, 0 none",
        low=0,
        high=1_000_000,
        learned=True,
    )
    test_window: int = _setting(
        1000, "tests over which live recall is taken", unit="tests", low=1, high=1_000_000, learned=True
    )
    session_timeout: float = _setting(
        10.0, "a worker that is silent for this long loses its partitions", unit="seconds", low=0.5, high=300
    )
    web_host: str = _setting(
        "127.0.0.1", "where HTTP and the status pages listen; 0.0.0.0 opens them to the network"
    )
    web_port: int = _setting(6066, "port of HTTP and the status pages; 0 turns them off", low=0, high=65535)
    web_token: str = _setting(
        "",
        "what calls over HTTP must bring as `Authorization: Bearer TOKEN`; needed where the worker listens "
        "to the network, else only programs of the same machine are answered",
        secret=True,
    )
    web_people: str = _setting(
        "auto",
        "to whom the live page shows persons, who rated what: auto (this machine only, while the worker "
        "listens to nobody else and there is no token), on (everybody who reaches it) or off",
        choices=("auto", "on", "off"),
    )
    log_level: str = _setting("info", "how much is logged", choices=("debug", "info", "warning", "error"))
    log_format: str = _setting(
        "text", "how it is logged: text, or json for one object a line", choices=("text", "json")
    )
    security_protocol: str = _setting(
        "PLAINTEXT",
        "how to talk to the broker",
        choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    )
    sasl_mechanism: str = _setting(
        "SCRAM-SHA-512", "how to log in", choices=("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    )
    sasl_username: str = _setting("", "the name to log in with")
    sasl_password: str = _setting("", "the password to log in with", secret=True)
    ssl_cafile: str = _setting("", "file of the authorities to trust; empty: the system's")
    ssl_certfile: str = _setting("", "file of the client's certificate")
    ssl_keyfile: str = _setting("", "file of the client's key")


@dataclass(frozen=True, slots=True)
class Described:
    """One row of the table of settings."""

    name: str
    variable: str
    kind: str
    unit: str
    default: str
    about: str
    learned: bool


def describe() -> list[Described]:
    """All settings, in the order of their declaration."""
    return [
        Described(
            name=each.name,
            variable=variable(each.name),
            kind={"int": "integer", "float": "number", "str": "text"}[str(each.type)],
            unit=each.metadata["unit"],
            default=_show(each.default, each),
            about=each.metadata["about"],
            learned=each.metadata["learned"],
        )
        for each in fields(Settings)
    ]


def variable(name: str) -> str:
    """The environment variable of the setting called `name`."""
    return PREFIX + name.upper()


def load(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings from the environment.

    Parameters
    ----------
    environment : mapping, optional
        Instead of the process' own environment.
    **overrides
        Values that win over the environment, as command line options do; None means not given.

    Raises
    ------
    SettingsError
        A value is not of its type or out of its bounds, or a ``RECOMMENDER_*`` variable is unknown.

    Examples
    --------
    >>> load({"RECOMMENDER_MODEL": "mf"}, partitions=3).partitions
    3
    >>> load({"RECOMMENDER_PARTITIONS": "x"})
    Traceback (most recent call last):
        ...
    recommender.settings.SettingsError: RECOMMENDER_PARTITIONS has value 'x': not an integer
    """
    environment = os.environ if environment is None else environment
    known = {variable(each.name): each for each in fields(Settings)}
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if not name.startswith(PREFIX):
            continue
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise SettingsError(f"{name} is not a setting; the nearest is {close[0]}")
        values[known[name].name] = _parse(known[name], name, text)
    for key, value in overrides.items():
        if value is not None:
            values[key] = _parse(known[variable(key)], "--" + key.replace("_", "-"), str(value))
    if values.get("arms") and "model" in values:
        raise SettingsError(
            f"{variable('model')} has value {values['model']!r} and {variable('arms')} has value "
            f"{values['arms']!r}: expected only one of them"
        )
    return Settings(**values)


def sources(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The origin of each setting's effective value: its variable's name, or ``default``."""
    environment = os.environ if environment is None else environment
    return {
        each.name: variable(each.name) if variable(each.name) in environment else "default"
        for each in fields(Settings)
    }


def shown(settings: Settings, name: str) -> str:
    """A setting's value as text to show; a secret only as dots."""
    value = getattr(settings, name)
    declared = next(each for each in fields(Settings) if each.name == name)
    return "****" if declared.metadata["secret"] and value else _show(value, declared)


def _show(value: Any, declared: Any = None) -> str:
    if declared is not None and declared.metadata["none"] and value == 0:
        return "none"
    if isinstance(value, float):
        return "" if value != value else repr(value).removesuffix(".0")
    return str(value)


def _parse(declared: Any, name: str, text: str) -> Any:
    """The typed value of `text`; `name` is what an error calls the setting."""
    convert: Callable[[str], Any] = {"int": int, "float": float, "str": str}[str(declared.type)]
    none = declared.metadata["none"]
    if none and text.strip().lower() == "none":
        return convert("0")
    try:
        value = convert(text.strip())
    except ValueError:
        kind = "an integer" if convert is int else "a number"
        raise SettingsError(f"{name} has value {text!r}: not {kind}{', nor none' if none else ''}") from None
    low, high, choices = (declared.metadata[key] for key in ("low", "high", "choices"))
    if convert is not str and (value != value or value in (float("inf"), float("-inf"))):
        raise SettingsError(f"{name} has value {text!r}: not a finite number")
    if low is not None and value < low:
        other = ", or none for no bound" if none and value == 0 else ""
        raise SettingsError(f"{name} has value {text!r}: must be at least {_show(low)}{other}")
    if high is not None and value > high:
        raise SettingsError(f"{name} has value {text!r}: must be at most {_show(high)}")
    if choices:
        matching = [each for each in choices if each.lower() == value.lower()]
        if not matching:
            raise SettingsError(f"{name} has value {text!r}: expected one of {', '.join(choices)}")
        return matching[0]
    return value


def learned_names() -> list[str]:
    """The settings that change what is learned from the same log."""
    return [each.name for each in fields(Settings) if each.metadata["learned"]]

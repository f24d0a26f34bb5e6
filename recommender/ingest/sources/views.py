"""A record as paths see it: its value, its key, its headers, and what envelopes add."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from recommender.ingest.sources.paths import ELEMENT, HEADER, KEY, TOPIC, Path
from recommender.ingest.sources.values import ABSENT
from recommender.messages.records import Record
from recommender.messages.refusals import BadMessage, Kind

#: Headers of CloudEvents begin so: in Kafka's binding, and as some gateways write them.
PREFIXES = ("ce_", "ce-")

Step = Callable[[Any, str], Any]


class View:
    """A record, for one that is being read.

    Attributes
    ----------
    record : Record
    topic : str
    document : object
        Where paths into the value begin.
    element : object
        Of `each`.
    attributes : dict of str to object
        Of a CloudEvent in structured mode.
    step : function
        What is at a name of an object: `ABSENT` where there is no such name.
    """

    __slots__ = ("_key", "attributes", "document", "element", "record", "step", "topic")

    def __init__(self, record: Record, topic: str, document: Any, step: Step) -> None:
        self.record, self.topic, self.document, self.step = record, topic, document, step
        self.element: Any = ABSENT
        self.attributes: dict[str, Any] | None = None
        self._key: Any = ABSENT

    def at(self, path: Path) -> Any:
        """The value at a path; None for null, `ABSENT` where there is nothing."""
        root, steps = path.root, path.steps
        if root == "":
            found = self.document
        elif root == ELEMENT:
            found = self.element
        elif root == KEY:
            found = self._key_for(steps)
        elif root == TOPIC:
            return self.topic
        else:
            return self._header(root, steps[0])
        step = self.step
        for name in steps:
            found = found.get(name, ABSENT) if found.__class__ is dict else step(found, name)
        return found

    def _key_for(self, steps: tuple[str, ...]) -> Any:
        key = self.record.key
        if not steps:
            return key
        if self._key is ABSENT and key is not None:
            try:
                self._key = msgspec.json.decode(key)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise BadMessage("the key is not JSON: expected an object - at `@key`", Kind.OTHER) from None
        return self._key

    def _header(self, root: str, name: str) -> Any:
        if root == HEADER:
            return _text_of(self.record, (name,), name)
        if self.attributes is not None and name in self.attributes:
            return self.attributes[name]
        return _text_of(self.record, tuple(prefix + name for prefix in PREFIXES), name)


def attribute(record: Record, name: str) -> Any:
    """An attribute of a CloudEvent in binary mode."""
    return _text_of(record, tuple(prefix + name for prefix in PREFIXES), name)


def _text_of(record: Record, names: tuple[str, ...], told: str) -> Any:
    """The last header of these names, as text: so does Kafka's own client."""
    for name, value in reversed(record.headers or ()):
        if name in names and value is not None:
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise BadMessage(f"the header {told!r} is not UTF-8", Kind.OTHER) from None
    return ABSENT


def step_into(value: Any, name: str) -> Any:
    """The value at a name of a value that is no dict: nothing."""
    return ABSENT

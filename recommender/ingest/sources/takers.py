"""Takes what is at some steps out of documents: of objects as dicts, and of Protobuf messages.

A taker raises an AttributeError where an object on the way is not there, or where it takes more than looking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any

Steps = tuple[str, ...]
Take = Callable[[Any], Sequence[Any]]


def taker_for(document: Any, wanted: Sequence[Steps]) -> Take | None:
    """A function that takes the values at some steps out of documents like one; None where nothing can."""
    if isinstance(document, dict):
        return _of_dicts(wanted)
    descriptor = getattr(document, "DESCRIPTOR", None)
    return None if descriptor is None else _of_messages(wanted, descriptor)


def _of_dicts(wanted: Sequence[Steps]) -> Take:
    """Takes fields of dicts; what is absent is None."""
    if all(len(steps) == 1 for steps in wanted):
        names = [steps[0] for steps in wanted]
        all_of = itemgetter(*names)

        def take_flat(document: Any) -> Sequence[Any]:
            try:
                return all_of(document) if len(names) > 1 else (all_of(document),)
            except KeyError:
                get = document.get
                return [get(name) for name in names]

        return take_flat

    def take(document: Any) -> Sequence[Any]:
        found = []
        for steps in wanted:
            value = document
            for step in steps:
                value = value.get(step)
            found.append(value)
        return found

    return take


def _of_messages(wanted: Sequence[Steps], descriptor: Any) -> Take | None:
    """Takes fields of messages of one kind; None where a field is more than a plain one."""
    getters = [_getter(steps, descriptor) for steps in wanted]
    if None in getters:
        return None
    known: list[Any] = getters
    if len(known) > 1 and all(isinstance(each, attrgetter) for each in known):
        return attrgetter(*(_field_of(steps[0], descriptor).name for steps in wanted))

    def take(message: Any) -> Sequence[Any]:
        return [get(message) for get in known]

    return take


def _getter(steps: Steps, descriptor: Any) -> Callable[[Any], Any] | None:
    """A function that gets a plain field, which always has a value, of a message or of one inside it."""
    field = _field_of(steps[0], descriptor)
    if field is None:
        return None
    if len(steps) == 1:
        special = field.has_presence or field.enum_type or field.message_type or _is_repeated(field)
        return None if special else attrgetter(field.name)
    if field.message_type is None or not field.has_presence:
        return None
    inside, name = _getter(steps[1:], field.message_type), field.name
    if inside is None:
        return None

    def get(message: Any) -> Any:
        if not message.HasField(name):
            raise AttributeError(name)
        return inside(getattr(message, name))

    return get


def _field_of(name: str, descriptor: Any) -> Any:
    """A field by its name, or by that which it has in JSON."""
    return descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)


def _is_repeated(field: Any) -> bool:
    repeated = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if repeated is None else repeated)

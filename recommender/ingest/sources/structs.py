"""Compiles paths into types for msgspec: what no path asks for is passed over without an object for it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

#: What no field of a struct may have in its name.
_UNUSUAL = re.compile(r'["\\\x00-\x1f]')
#: A struct's fields by the path's steps, and at the leaves their types.
Tree = dict[str, Any]


def compiled(fields: Mapping[tuple[str, ...], Any]) -> type[msgspec.Struct] | None:
    """A struct that has what is at these steps, each absent or null as None.

    Parameters
    ----------
    fields : mapping of steps to type

    Returns
    -------
    type or None
        None where one path leads through another's leaf, or a name is one that msgspec does not take.
    """
    tree: Tree = {}
    if any(map(_UNUSUAL.search, {step for steps in fields for step in steps})):
        return None
    for steps, kind in fields.items():
        node = tree
        for step in steps[:-1]:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                return None
        if steps[-1] in node:
            return None
        node[steps[-1]] = kind
    return _struct(tree, "Value")


def _struct(tree: Tree, name: str) -> type[msgspec.Struct]:
    fields, names = [], {}
    for number, (field, inside) in enumerate(tree.items()):
        # A field may be called as Python's fields may not.
        own = f"f{number}"
        names[own] = field
        kind: Any = _struct(inside, f"{name}_{own}") if isinstance(inside, dict) else inside
        # An object that is not there is one without fields: then nothing has to be asked on the way.
        fields.append((own, kind | None, kind() if isinstance(inside, dict) else None))
    return msgspec.defstruct(name, fields, gc=False, frozen=True, rename=names)


def getter(fields: Mapping[tuple[str, ...], Any], wanted: Sequence[tuple[str, ...]]) -> attrgetter[Any]:
    """A function that takes the values at some steps out of a struct that `compiled` made, as a tuple.

    It raises an AttributeError where an object on the way is null.
    """
    numbers: dict[tuple[str, ...], dict[str, int]] = {}
    for steps in fields:
        for depth, step in enumerate(steps):
            level = numbers.setdefault(steps[:depth], {})
            level.setdefault(step, len(level))
    return attrgetter(
        *(
            ".".join(f"f{numbers[steps[:depth]][step]}" for depth, step in enumerate(steps))
            for steps in wanted
        )
    )

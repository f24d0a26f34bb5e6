"""Paths to what a mapping takes from a record, such as ``user.id``, ``.sku`` or ``@header.tenant``."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: One step: a quoted name, or any text without dots, quotes and blanks.
_STEP = re.compile(r'"((?:[^"\\]|\\.)*)"|([^."\s]+)')

#: Where a path begins: in the record's value, in an element of `each`, or next to the value.
VALUE, ELEMENT, KEY, HEADER, ATTRIBUTE, TOPIC = "", ".", "@key", "@header", "@ce", "@topic"
ROOTS = (KEY, HEADER, ATTRIBUTE, TOPIC)


class PathError(ValueError):
    """A text that is no path."""


@dataclass(frozen=True, slots=True)
class Path:
    """The way to something in a record.

    Attributes
    ----------
    root : str
        `VALUE`, `ELEMENT`, or one of `ROOTS`.
    steps : tuple of str
        Names of fields from there, the outermost first.
    """

    root: str
    steps: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read a path.

        Raises
        ------
        PathError
            It is none; says why.
        """
        root, rest = VALUE, text
        if text.startswith("@"):
            root = next((each for each in ROOTS if text == each or text.startswith(each + ".")), "")
            if not root:
                raise PathError(f"expected {', '.join(ROOTS)} or a field")
            rest = text[len(root) + 1 :]
        elif text.startswith("."):
            root, rest = ELEMENT, text[1:]
        steps = _steps(rest) if rest else ()
        if root in (HEADER, ATTRIBUTE) and len(steps) != 1:
            raise PathError(f"expected one name after {root}")
        if root == TOPIC and steps:
            raise PathError("@topic is text and has no fields")
        if root == VALUE and not steps:
            raise PathError("expected the name of a field")
        return cls(root, steps)

    def __str__(self) -> str:
        """The path as errors name it: ``$.user.id``, ``@key``, ``$[...].sku``."""
        return self.within({VALUE: "$", ELEMENT: "$[...]"}.get(self.root, self.root))

    def within(self, place: str) -> str:
        """The path from a place on, as errors name it."""
        names = [step if re.fullmatch(r"[^.\"\s]+", step) else f'"{step}"' for step in self.steps]
        return ".".join([place, *names])


def _steps(text: str) -> tuple[str, ...]:
    steps, at = [], 0
    while True:
        found = _STEP.match(text, at)
        if found is None:
            raise PathError("expected names separated by dots; a name with a dot stands in double quotes")
        quoted, plain = found.groups()
        steps.append(re.sub(r"\\(.)", r"\1", quoted) if plain is None else plain)
        at = found.end()
        if at == len(text):
            return tuple(steps)
        if text[at] != ".":
            raise PathError("expected a dot between two names")
        at += 1

"""The first line of a docstring is a verb or a plain noun, and a sentence."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("recommender", "producers", "benchmarks", "examples")
#: Words that begin a clause without its verb or noun, or stand for a noun that is elsewhere.
# fmt: off
NO_BEGINNING = frozenset((
    "As", "At", "By", "For", "From", "How", "If", "In",
    "It", "Its", "Itself", "Not", "Of", "Past", "Perhaps", "So",
    "That", "There", "They", "Those", "To", "Until", "Up", "What",
    "When", "Where", "Whether", "Which", "While", "Who", "Whom", "Why",
))
# fmt: on


def first_lines(program: str) -> Iterator[tuple[int, str]]:
    """The line and the first sentence of each docstring of a program."""
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring is not None:
                yield node.body[0].lineno, docstring.split("\n\n")[0]


def faults(program: str) -> list[tuple[int, str]]:
    """The first lines that are not as they should be."""
    return [
        (line, said)
        for line, said in first_lines(program)
        if said.split()[0].rstrip(":,;") in NO_BEGINNING or said[-1] not in ".:?"
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_first_lines_begin_with_a_verb_or_a_noun(folder: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}": said
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, said in faults(path.read_text(encoding="utf-8"))
    }
    assert found == {}


def test_what_is_no_first_line_is_found() -> None:
    program = '"""Whether it is."""\n\ndef f():\n    """Of a list."""\n\nclass A:\n    """A class"""\n'
    assert [line for line, _ in faults(program)] == [1, 4, 7]
    assert faults('"""Return True if it is."""\n\ndef f():\n    """The end.\n\n    Of it."""\n') == []

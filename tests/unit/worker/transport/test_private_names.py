"""Private names of libraries: each that is touched is still there, and none is touched that is not listed."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import recommender
from recommender.worker.transport.private_names import PRIVATE_NAMES, PrivateName

ROOT = Path(recommender.__file__).parent
#: Where libraries may be changed.
PLACES = ("worker/transport", "kafka", "worker/pacing.py")
#: An attribute of something else than `self`, `cls` or a module of ours, that begins with one underscore.
FOREIGN = re.compile(r"(?<!self)(?<!cls)(?<!super\(\))\.(_[a-z]\w*)")
#: Private names of our own classes that are reached from beside them.
OURS = {"_fields", "_asdict", "_replace", "_ours", "_proxy"}


def owner_of(name: str) -> Any:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


def source_of(owner: Any) -> str:
    if isinstance(owner, ModuleType):
        return inspect.getsource(owner)
    return "".join(inspect.getsource(each) for each in owner.__mro__ if each.__module__ != "builtins")


@pytest.mark.parametrize(
    "private", PRIVATE_NAMES, ids=lambda each: f"{each.owner.rpartition('.')[2]}.{each.name}"
)
def test_it_is_still_there(private: PrivateName) -> None:
    assert re.search(rf"\b{private.name}\b", source_of(owner_of(private.owner)))


def test_no_other_is_touched() -> None:
    listed = {each.name for each in PRIVATE_NAMES} | OURS
    files = [
        file
        for place in PLACES
        for file in ([ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py")))
    ]
    touched = {
        (str(file.relative_to(ROOT)), name)
        for file in files
        for name in FOREIGN.findall(file.read_text())
        if name not in listed
    }
    assert touched == set()

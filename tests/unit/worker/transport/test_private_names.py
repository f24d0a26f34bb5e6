"""The private names that are touched are where we look for them, and none is touched that is not listed."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import recommender
from recommender.worker.transport.fetched_records import FetchedRecords
from recommender.worker.transport.private_names import PRIVATE_NAMES, PrivateName

ROOT = Path(recommender.__file__).parent
#: Nothing else may touch a private name.
PLACES = ("worker/transport/", "kafka/kafka_python_records.py")
LIBRARIES = ("aiokafka", "asyncio", "faust", "kafka", "mode")
#: An attribute of something else than `self` or `cls` that begins with one underscore.
FOREIGN = re.compile(r"(?<!self)(?<!cls)(?<!super\(\))\.(_[a-z]\w*)")
OWN = re.compile(r"(?<!\w)self\.(_[a-z]\w*)")
#: Private names of our own classes, and of namedtuples, that are reached from beside them.
OURS = {"_fields", "_asdict", "_replace", "_ours", "_proxy"}
#: Only named, in a line of aiokafka's log that is filtered.
NAMED = {"_do_commit_offsets"}
#: Python and mode give these to every class.
GIVEN = {"_abc_impl", "_tasks"}
#: How the methods among them are called by the library, or by us.
CALLED = {
    "_append_batch": ["self", "builder", "tp"],
    "_create_directories": ["self"],
    "_create_worker_consumer": ["self", "transport"],
    "_fetch_records": ["self", "consumer", "active_partitions", "timeout", "max_records"],
    "_new_consumer_thread": ["self"],
    "_stopped_set": ["self"],
}


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


def name_of(private: PrivateName) -> str:
    return f"{private.owner.rpartition('.')[2]}.{private.name}"


@pytest.mark.parametrize("private", PRIVATE_NAMES, ids=name_of)
def test_it_is_still_there(private: PrivateName) -> None:
    owner = owner_of(private.owner)
    assert re.search(rf"\b{private.name}\b", source_of(owner))
    if private.name in CALLED:
        assert list(inspect.signature(getattr(owner, private.name)).parameters) == CALLED[private.name]


def test_there_are_few() -> None:
    assert len(PRIVATE_NAMES) <= 20
    assert all(each.why for each in PRIVATE_NAMES)


def constructors(module: str, *path: str) -> list[str]:
    """The parameters of a class as its module is written, whatever was put in its place."""
    node: Any = ast.parse(inspect.getsource(importlib.import_module(module)))
    for name in (*path, "__init__"):
        (node,) = (
            each
            for each in ast.iter_child_nodes(node)
            if isinstance(each, (ast.ClassDef, ast.FunctionDef)) and each.name == name
        )
    return [each.arg for each in node.args.args]


def test_what_is_put_in_the_place_of_a_class_is_made_in_the_same_way() -> None:
    theirs = constructors("aiokafka.consumer.fetcher", "PartitionRecords")
    ours = list(inspect.signature(FetchedRecords.__init__).parameters)
    assert len(theirs) == len(ours)
    assert theirs[3:] == ours[3:]
    named = constructors("kafka.consumer.fetcher", "Fetcher", "PartitionRecords")
    assert named[:4] == ["self", "fetch_offset", "tp", "records"]
    assert "value_deserializer" in named


def files() -> Iterator[Path]:
    return (each for each in sorted(ROOT.rglob("*.py")))


def test_no_other_is_touched() -> None:
    listed = {each.name for each in PRIVATE_NAMES} | OURS
    touched = {
        (str(file.relative_to(ROOT)), name)
        for file in files()
        if re.search(rf"^(from|import) ({'|'.join(LIBRARIES)})\b", file.read_text(), re.MULTILINE)
        for name in FOREIGN.findall(file.read_text())
        if name not in listed or not str(file.relative_to(ROOT)).startswith(PLACES)
    }
    assert {each for each in touched if each[1] not in OURS | NAMED} == set()


def subclasses() -> Iterator[tuple[type, list[type]]]:
    """Our classes that have classes of these libraries among their ancestors."""
    for info in pkgutil.walk_packages([str(ROOT)], "recommender."):
        if info.name.startswith(("recommender.kafka", "recommender.worker", "recommender.journal")):
            module = importlib.import_module(info.name)
            for each in vars(module).values():
                if isinstance(each, type) and each.__module__ == info.name:
                    theirs = [one for one in each.__mro__ if one.__module__.partition(".")[0] in LIBRARIES]
                    if theirs:
                        yield each, theirs


def test_no_other_is_overridden_or_used_by_a_subclass() -> None:
    listed = {each.name for each in PRIVATE_NAMES}
    found = set()
    for ours, theirs in subclasses():
        source = inspect.getsource(ours)
        names = {name for name in vars(ours) if re.fullmatch(r"_[a-z]\w*", name)}
        names |= set(OWN.findall(source)) | set(re.findall(r"super\(\)\.(_[a-z]\w*)", source))
        for base in theirs:
            known = {name for name in vars(base) if re.fullmatch(r"_[a-z]\w*", name)}
            known |= set(re.findall(r"\bself\.(_[a-z]\w*)\b.*=", inspect.getsource(base)))
            found |= {(ours.__name__, name) for name in names & known}
    assert {each for each in found if each[1] not in listed | GIVEN} == set()

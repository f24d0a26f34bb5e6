"""The examples in docstrings and in documents give what stands there."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import recommender
from tests.support.examples import blocks_of

PACKAGE = Path(recommender.__file__).parent
ROOT = PACKAGE.parent
#: Only these are imported: all modules would take each process of the tests seconds.
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)
#: Who imports one of these finds an example there.
IMPORTED = {
    "recommender.client.client",
    "recommender.evaluation.prequential",
    "recommender.evaluation.rank_metrics",
    "recommender.messages.partitioning",
    "recommender.messages.ratings",
    "recommender.models.knn_baseline.knn_baseline",
    "recommender.models.testing",
    "recommender.settings",
    "recommender.shard.arms",
}
#: The blocks of Python in documents that need no broker; the others run in `tests.integration.test_examples`.
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in sorted((ROOT / "docs").glob("*.md"))
    for number, block in enumerate(blocks_of(page))
    if "Client(" not in block
]


def test_what_users_import_has_an_example() -> None:
    assert set(MODULES) >= IMPORTED


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    failed = doctest.testmod(importlib.import_module(name)).failed
    assert failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_of_documents(block: str) -> None:
    exec(compile(block, "<document>", "exec"), {})

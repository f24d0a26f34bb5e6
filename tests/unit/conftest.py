"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest


@pytest.fixture(params=["path", "text", "file", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    """A place to store at, in each way of saying it."""
    places: dict[str, str | Path] = {
        "path": tmp_path / "checkpoints",
        "text": str(tmp_path / "checkpoints"),
        "file": f"file://{tmp_path}/checkpoints",
        "memory": f"memory://{uuid.uuid4().hex}/checkpoints",
    }
    return places[request.param]


@pytest.fixture
def remote() -> str:
    """A place in an object store."""
    return f"memory://{uuid.uuid4().hex}"

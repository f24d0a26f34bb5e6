"""What `pip install .` installs."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [
        each.parent for name in ("producers", "recommender") for each in (ROOT / name).rglob("__init__.py")
    ]
    assert sorted(listed) == sorted(".".join(each.relative_to(ROOT).parts) for each in found)

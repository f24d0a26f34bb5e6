"""What `pip install .` installs."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_is_installed_and_nothing_else() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert settings == {"find": {"include": ["recommender*"]}}
    folders = {each.parent for each in (ROOT / "recommender").rglob("*.py")}
    assert [each for each in folders if not (each / "__init__.py").exists()] == []

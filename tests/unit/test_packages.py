"""What `pip install .` installs."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.wheel import faults

ROOT = Path(__file__).parents[2]


def test_every_package_is_installed_and_nothing_else() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert settings == {"find": {"include": ["recommender*"]}}
    folders = {each.parent for each in (ROOT / "recommender").rglob("*.py")}
    assert [each for each in folders if not (each / "__init__.py").exists()] == []


def test_the_house_stays_one_that_can_be_seen_at_once() -> None:
    rooms = [each.parent.name for each in (ROOT / "recommender").glob("*/__init__.py")]
    files = {each.name for each in (ROOT / "recommender").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert len(rooms) <= 16
    assert files == {"app.py", "compiled.py", "errors.py", "settings.py"}


def test_tests_have_the_rooms_of_what_they_test() -> None:
    rooms = {each.parent.name for each in (ROOT / "recommender").glob("*/__init__.py")}
    assert {each.parent.name for each in (ROOT / "tests" / "unit").glob("*/__init__.py")} == rooms


def test_what_is_wrong_with_a_wheel_is_found() -> None:
    """`make dist` checks the wheel that it has built with this."""
    about = [
        "faust_recommender-0.2.0.dist-info/METADATA",
        "faust_recommender-0.2.0.dist-info/entry_points.txt",
    ]
    sources = [each.relative_to(ROOT).as_posix() for each in (ROOT / "recommender").rglob("*.py")]
    pages = [
        each.relative_to(ROOT).as_posix() for each in (ROOT / "recommender" / "web" / "static").iterdir()
    ]
    whole = [*about, "recommender/py.typed", *pages, *sources]
    assert faults(whole) == []
    assert faults([*whole, "producers/replay.py"]) == [
        "it installs producers, recommender at top level: expected recommender alone"
    ]
    assert faults([each for each in whole if each != "recommender/app.py"]) == ["it lacks recommender/app.py"]
    assert faults([each for each in whole if not each.endswith("live.css")]) == [
        "it lacks recommender/web/static/live.css"
    ]
    assert faults(whole[:1] + whole[2:]) == ["it installs no command"]

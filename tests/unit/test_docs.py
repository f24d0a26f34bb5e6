"""The documents name what there is: files, rooms, models, codes, settings, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recommender import settings
from recommender.cli.main import COMMANDS
from recommender.models import registry

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", *DOCS]

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def anchors(page: str) -> set[str]:
    """The anchors that mkdocs gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", each.replace("`", "")).strip().lower() for each in headings]
    return {re.sub(r"[-\s]+", "-", each) for each in plain}


def test_the_readme_is_one_page() -> None:
    assert len(text("README.md").splitlines()) <= 150


@pages
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        if not found.is_file() or (anchor and anchor not in anchors(found.read_text("utf-8"))):
            wrong.append(target)
    assert wrong == []


@pages
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|toml|txt|yml))`", page.read_text("utf-8"))
    places = (ROOT, ROOT / "recommender", ROOT / "recommender" / "models", page.parent)
    given = {"ratings.csv"}
    wrong = {each for each in named if not any((place / each).exists() for place in places)}
    assert wrong <= given


@pages
def test_folders_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:[a-z_]+/)+)`", page.read_text("utf-8"))
    places = (ROOT, ROOT / "recommender")
    assert [each for each in named if not any((place / each).is_dir() for place in places)] == []


@pages
def test_settings_that_are_named_exist(page: Path) -> None:
    known = {each.variable for each in settings.describe()}
    assert set(re.findall(r"\bRECOMMENDER_[A-Z_]+\b", page.read_text("utf-8"))) - known <= {"RECOMMENDER_"}


@pages
def test_commands_that_are_named_exist(page: Path) -> None:
    lines = re.findall(r"(?:^|`)recommender ([a-z]+)", page.read_text("utf-8"), re.MULTILINE)
    assert set(lines) <= set(COMMANDS)


def test_every_page_is_in_the_navigation() -> None:
    navigation = set(re.findall(r"([\w-]+\.md)$", text("mkdocs.yml"), re.MULTILINE))
    assert navigation == {each.name for each in DOCS}


def test_architecture_has_every_room() -> None:
    architecture = text("docs/architecture.md")
    rooms = {each.parent.name for each in (ROOT / "recommender").glob("*/__init__.py")}
    assert [each for each in sorted(rooms) if f"`{each}/`" not in architecture] == []


def test_models_has_every_model() -> None:
    page = text("docs/models.md")
    assert [name for name, _ in registry.describe() if f"| `{name}` |" not in page] == []


def test_contracts_has_every_code_of_a_failure() -> None:
    sources = "".join(each.read_text("utf-8") for each in (ROOT / "recommender").rglob("*.py"))
    codes = set(re.findall(r'Failure\(\s*"(\w+)"', sources))
    rows = re.findall(r"^\| `(\w+)` \|.*\| (?:yes|no) \|$", text("docs/contracts.md"), re.MULTILINE)
    assert set(rows) == codes


def test_the_figures_of_the_readme_are_those_of_their_pages() -> None:
    rows = re.findall(r"^\| .* \| ([\d.,]+(?: ms)?) \| \[\w+\]\((\S+)\) \|$", text("README.md"), re.MULTILINE)
    assert len(rows) == 5
    assert [figure for figure, page in rows if figure not in text(page)] == []


def test_what_is_said_of_models_on_the_command_line_is_in_quality() -> None:
    """To the thousandth, beside the model's name."""
    quality = text("docs/quality.md")
    measured = {name: registry.measured(name) for name, _ in registry.describe()}
    shown = {name: f"{found[0]:.3f}" for name, found in measured.items() if found is not None}
    assert [
        name for name, recall in shown.items() if f"`{name}`" not in quality or recall not in quality
    ] == []

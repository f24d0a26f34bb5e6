"""Kernels that are kept are used where they can only be read, and never where they are out of date."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

import recommender
from recommender.compiled import fingerprint, kernel
from recommender.models.elementary import LOG_2
from tests.unit.test_compiled import WARM

#: Takes from root what lets it write where its own permissions say that it may not.
ONLY_WHAT_PERMISSIONS_SAY = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]


def run(program: str, directory: Path, **variables: str) -> list[str]:
    """The words that a program says which may write only where permissions let it."""
    command = [*(ONLY_WHAT_PERMISSIONS_SAY if os.getuid() == 0 else []), sys.executable, "-c", program]
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment | variables, cwd=directory, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def close(directory: Path, mode: int = 0o555) -> None:
    """Let nobody write there any more."""
    for each in [directory, *directory.rglob("*")]:
        if each.is_dir():
            each.chmod(mode)


@pytest.fixture
def open_again(tmp_path: Path) -> object:
    """So that pytest can remove what a test has closed."""
    yield tmp_path
    close(tmp_path, 0o755)


@pytest.mark.usefixtures("open_again")
def test_a_place_that_can_only_be_read_is_copied(tmp_path: Path) -> None:
    named, temporary = tmp_path / "named", tmp_path / "temporary"
    named.mkdir()
    temporary.mkdir()
    here = os.pathsep.join(sys.path)
    places = {"NUMBA_CACHE_DIR": str(named), "TMPDIR": str(temporary), "PYTHONPATH": here}
    compiled, kept = run(WARM, tmp_path, **places)
    assert (compiled, named in Path(kept).parents) == ("True", True)
    close(named)
    compiled, kept = run(WARM, tmp_path, **places)
    assert (compiled, temporary in Path(kept).parents) == ("False", True)
    assert run(WARM, tmp_path, **places) == ["False", kept]
    # What was not among them is compiled, and kept.
    more = WARM + "\nfrom recommender.models import randomness\nrandomness.warm()"
    before = len(list(temporary.rglob("*.nbi")))
    run(more, tmp_path, **places)
    assert len(list(temporary.rglob("*.nbi"))) > before
    # Others that have come there since are another copy.
    close(named, 0o755)
    run(more, tmp_path, NUMBA_CACHE_DIR=str(named), PYTHONPATH=here)
    close(named)
    assert run(WARM, tmp_path, **places)[1] != kept


@pytest.mark.usefixtures("open_again")
def test_kernels_beside_a_package_that_can_only_be_read_are_copied(tmp_path: Path) -> None:
    package, temporary = tmp_path / "site" / "recommender", tmp_path / "temporary"
    shutil.copytree(
        Path(recommender.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "*.nb[ic]")
    )
    temporary.mkdir()
    places = {"PYTHONPATH": str(package.parent), "TMPDIR": str(temporary), "HOME": "/nonexistent"}
    assert run(WARM, tmp_path, **places) == ["True", str(package / "models" / "__pycache__")]
    close(package)
    compiled, kept = run(WARM, tmp_path, **places)
    assert (compiled, temporary in Path(kept).parents) == ("False", True)


def test_a_package_without_bytecode_is_no_place_that_can_only_be_read(tmp_path: Path) -> None:
    package, temporary = tmp_path / "site" / "recommender", tmp_path / "temporary"
    shutil.copytree(
        Path(recommender.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "*.nb[ic]")
    )
    temporary.mkdir()
    places = {
        "PYTHONPATH": str(package.parent),
        "TMPDIR": str(temporary),
        "HOME": "/nonexistent",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    beside = ["True", str(package / "models" / "__pycache__")]
    assert run(WARM, tmp_path, **places) == beside
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    # Kernels lie beside the package, and numba may not look there.
    locators = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    compiled, kept = run(WARM, tmp_path, **places, **locators)
    assert (compiled, temporary in Path(kept).parents) == ("True", True)


TWO_FILES = {
    "inner": "from recommender.compiled import kernel\n@kernel\ndef inner(x):\n    return x + {}\n",
    "constants": "import numpy as np\nFACTOR, TABLE = {}, np.array([{}])\n",
    "outer": """
from recommender.compiled import kernel
import constants
from constants import TABLE
from inner import inner
@kernel
def outer(x):
    return inner(x) * constants.FACTOR + TABLE[0]
print(outer(1), sum(outer.stats.cache_hits.values()))
""",
}


def test_what_was_compiled_into_a_kernel_makes_it_old(tmp_path: Path) -> None:
    def outer(more: int, factor: int, table: int) -> list[str]:
        values = {"inner": [more], "constants": [factor, table], "outer": []}
        for name, text in TWO_FILES.items():
            (tmp_path / f"{name}.py").write_text(text.format(*values[name]))
        variables = {
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
            "NUMBA_CACHE_DIR": str(tmp_path / "kernels"),
            # Python takes its own bytecode for new while the text has the same length and the same second.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return run("import outer", tmp_path, **variables)

    assert outer(1, 1, 0) == ["2", "0"]
    assert outer(1, 1, 0) == ["2", "1"]
    assert outer(2, 1, 0) == ["3", "0"]
    assert outer(2, 5, 0) == ["15", "0"]
    assert outer(2, 5, 1) == ["16", "0"]
    assert outer(2, 5, 1) == ["16", "1"]


NAMED = """
from typing import NamedTuple
from recommender.compiled import kernel
class {name}(NamedTuple):
    value: int
@kernel
def value_of(x):
    return x.value
print(value_of({name}(1)), sum(value_of.stats.cache_hits.values()))
"""


def test_a_class_that_was_renamed_makes_a_kernel_old(tmp_path: Path) -> None:
    def value_of(name: str) -> list[str]:
        (tmp_path / "named.py").write_text(NAMED.format(name=name))
        path = os.pathsep.join([str(tmp_path), *sys.path])
        return run("import named", tmp_path, PYTHONPATH=path, NUMBA_CACHE_DIR=str(tmp_path / "kernels"))

    assert value_of("Rows") == ["1", "0"]
    assert value_of("Rows") == ["1", "1"]
    assert value_of("Pairs") == ["1", "0"]
    assert value_of("Pairs") == ["1", "1"]


@kernel
def _called(x):  # type: ignore[no-untyped-def]
    return x * LOG_2


def _calls(x):  # type: ignore[no-untyped-def]
    return _called(x) + TABLE[0] + np.sqrt(x) if x in {1.0, 2.0} else _calls(x)  # type: ignore[no-untyped-call]


TABLE = np.array([1.0, 2.0])


def test_a_fingerprint_stands_for_all_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(_calls, FunctionType)
    found = [fingerprint(_calls)]
    assert found == [fingerprint(_calls)]
    monkeypatch.setitem(globals(), "TABLE", np.array([1.0, 3.0]))
    found.append(fingerprint(_calls))
    monkeypatch.setitem(globals(), "LOG_2", 0.7)
    found.append(fingerprint(_calls))
    monkeypatch.setitem(globals(), "_called", kernel(lambda x: x))
    found.append(fingerprint(_calls))
    assert len(set(found)) == 4

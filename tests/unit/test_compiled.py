"""Where compiled kernels are kept: always somewhere, and never where others can put theirs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from recommender.compiled import temporary_directory
from recommender.errors import RecommenderError

#: Compiles one kernel, or takes it from where it is kept.
WARM = """
import numpy as np
from recommender.models import topk
topk.contenders(np.zeros(2), 1)
import sys
assert "scipy.linalg" not in sys.modules, "numba has loaded it for a kernel that does not need it"
print(topk.was_compiled(), topk.kept_in())
"""


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"recommender-kernels-{os.getuid()}"


def warmed(directory: Path) -> list[str]:
    """Warm a kernel where numba may keep nothing but in a place that was named for it."""
    places = {"TMPDIR": str(directory), "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", WARM], capture_output=True, text=True, env=environment | places, check=True
    )
    return done.stdout.split()


def test_without_a_place_of_its_own_it_is_kept_among_temporary_files(tmp_path: Path) -> None:
    compiled, kept = warmed(tmp_path)
    assert compiled == "True"
    directory = Path(kept).parent
    assert directory == tmp_path / f"recommender-kernels-{os.getuid()}"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert warmed(tmp_path) == ["False", kept]


def test_the_directory_is_the_same_each_time(temporary: Path) -> None:
    assert temporary_directory() == temporary
    assert temporary_directory() == temporary


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707])
def test_a_directory_that_others_can_write_is_not_used(temporary: Path, mode: int) -> None:
    temporary.mkdir()
    temporary.chmod(mode)
    other = temporary_directory()
    assert other != temporary
    assert other.stat().st_mode & 0o777 == 0o700


def test_a_link_is_not_followed(temporary: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    temporary.symlink_to(target)
    assert temporary_directory() not in (temporary, target)


def test_a_file_in_its_place(temporary: Path) -> None:
    temporary.touch()
    assert temporary_directory().is_dir()


def test_no_place_at_all_is_one_sentence(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary.parent / "missing"))
    with pytest.raises(RecommenderError, match=r"no place .* \(No such file .*NUMBA_CACHE_DIR can name"):
        temporary_directory()

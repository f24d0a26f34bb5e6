"""Files of ratings, and what is said of those that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recommender.errors import SourceError
from recommender.evaluation.datasets.formats import read
from recommender.evaluation.datasets.values import Unit

Write = Callable[[str, str | bytes], Path]


def refusal(path: Path, unit: Unit = "s", scale: tuple[float, float] | None = None) -> str:
    with pytest.raises(SourceError) as caught:
        list(read(path, unit=unit, scale=scale))
    return str(caught.value).removeprefix(f"{path.parent}/")

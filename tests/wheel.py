"""Check what the wheel in a folder installs: ``python tests/wheel.py build/dist``."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def faults(names: list[str]) -> list[str]:
    """Each way in which the files of a wheel are not those of `recommender` alone."""
    found = []
    files = {name for name in names if ".dist-info/" not in name}
    top = sorted({name.partition("/")[0] for name in files})
    if top != ["recommender"]:
        found.append(f"it installs {', '.join(top) or 'nothing'} at top level: expected recommender alone")
    sources = {each.relative_to(ROOT).as_posix() for each in (ROOT / "recommender").rglob("*.py")}
    sources |= {each.relative_to(ROOT).as_posix() for each in (ROOT / "recommender/web/static").iterdir()}
    found += [f"it lacks {name}" for name in sorted({"recommender/py.typed", *sources} - files)]
    if not any(name.endswith(".dist-info/entry_points.txt") for name in names):
        found.append("it installs no command")
    return found


def main(folder: Path) -> int:
    """Print what is wrong with the one wheel of a folder; 1 if anything is."""
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = faults(archive.namelist())
    for each in found:
        print(f"{wheel.name}: {each}")
    if not found:
        print(f"{wheel.name} installs recommender and nothing else")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

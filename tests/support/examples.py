"""The examples, as somebody runs them who tries them out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 120.0


def run_example(name: str, **settings: str) -> str:
    """Run ``python examples/NAME.py`` to its end; what it prints.

    Parameters
    ----------
    name : str
    **settings
        By their names without ``RECOMMENDER_``; nothing of the tests' own environment counts.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RECOMMENDER_")}
    environment |= {f"RECOMMENDER_{key.upper()}": value for key, value in settings.items()}
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def blocks_of(page: Path) -> list[str]:
    """The blocks of Python in a document."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)

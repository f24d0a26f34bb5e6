"""The `recommender` command within the process of the tests: all but its start, which takes a second."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest

from recommender.cli import main


class Ended(NamedTuple):
    """What became of a command."""

    returncode: int
    stdout: str
    stderr: str


def run_command(*arguments: object, **environment: str) -> Ended:
    """Run the command line to its end; a crash is the test's.

    Parameters
    ----------
    *arguments : object
        As after ``recommender`` in a shell.
    **environment : str
        Variables; of the tests' own environment no setting of ours counts.
    """
    code: object = 0
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in [each for each in os.environ if each.startswith("RECOMMENDER_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["recommender", *map(str, arguments)])
        try:
            main.main()
        except SystemExit as ended:
            code = ended.code or 0
    assert isinstance(code, int), code
    return Ended(code, _written(out), _written(err))


def _written(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()

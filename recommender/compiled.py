"""How the loops over arrays are compiled, and where it is kept. Below every room that has one."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import numba
from numba import njit

from recommender.errors import RecommenderError

__all__ = [
    "background_kernel",
    "dividing_kernel",
    "inlined_dividing_kernel",
    "inlined_kernel",
    "kernel",
    "njit",
]

#: The variable that numba itself reads; processes that are started from here must find the same.
VARIABLE = "NUMBA_CACHE_DIR"


def keep_somewhere() -> None:
    """See to it that numba has a place for what it compiles: without one it compiles nothing.

    It looks beside the package and in the user's cache. A container's user often may write to neither; then
    it is the directory for temporary files.

    Raises
    ------
    RecommenderError
        That cannot be written either.
    """
    try:
        njit(cache=True)(keep_somewhere)  # compiles nothing yet
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        os.environ[VARIABLE] = numba.config.CACHE_DIR = str(temporary_directory())


def temporary_directory() -> Path:
    """A directory among the temporary ones that nobody else can write: what lies there is run.

    It is the same at each start, so that the next one need not compile.

    Raises
    ------
    RecommenderError
        None can be made.
    """
    try:
        directory = Path(tempfile.gettempdir(), f"recommender-kernels-{os.getuid()}")
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            found = directory.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if not ours or found.st_mode & 0o077:
                return Path(tempfile.mkdtemp(prefix=f"{directory.name}-"))
    except OSError as error:
        raise RecommenderError(
            f"There is no place for what is compiled at the start ({error.strerror}): neither beside the "
            f"package nor in the user's home nor among temporary files. {VARIABLE} can name another one"
        ) from None
    return directory


keep_somewhere()

# These loops make no arrays. Telling numba so spares the reference counts of all arrays at each call of a
# helper, which otherwise cost four times the work itself.
kernel = njit(cache=True, _nrt=False)

# The same, compiled into whatever calls it: for a step so small that a call is most of its time.
inlined_kernel = njit(cache=True, _nrt=False, forceinline=True)

# A kernel without tests for a divisor of zero, which forbid vector instructions: no divisor here is zero.
dividing_kernel = njit(cache=True, _nrt=False, error_model="numpy")

inlined_dividing_kernel = njit(cache=True, _nrt=False, forceinline=True, error_model="numpy")

# What runs beside the event loop, or only reads, does not hold the interpreter's lock meanwhile.
background_kernel = njit(cache=True, _nrt=False, nogil=True)

"""Compiles the loops over arrays, and keeps the compiled code. Below every room that has such loops.

numba keeps what it has compiled on the disk, in the first place that it can write, and compiles it again
where the kernel's own file has changed. Two things are added here. A kernel holds the code of those that it
calls, and constants of other files: where these have changed it is compiled again as well. And where kernels
lie in a place that can be read but not written, as in a container, they are copied to where both can be done.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

import numba
import numpy as np
from numba.core.caching import FunctionCache, _CacheLocator
from numba.core.dispatcher import Dispatcher
from numba.extending import _Intrinsic
from numba.misc.appdirs import AppDirs

from recommender.errors import RecommenderError

__all__ = [
    "dividing_kernel",
    "fingerprint",
    "inlined_dividing_kernel",
    "inlined_kernel",
    "kernel",
    "njit",
    "temporary_directory",
]

#: The variable that numba itself reads; processes that are started from here must find the same.
VARIABLE = "NUMBA_CACHE_DIR"
_PACKAGE = Path(__file__).parent
_PLAIN = (bool, int, float, str, bytes, type(None), np.generic)


class KernelCache(FunctionCache):
    """numba's cache of what one kernel was compiled to."""

    def __init__(self, function: FunctionType) -> None:
        super().__init__(function)
        self._complete = False

    def load_overload(self, *arguments: Any) -> Any:
        """The code for some types of arguments, or None."""
        _leave_scipy_out()
        self._stamp()
        try:
            return super().load_overload(*arguments)
        except (AttributeError, ImportError):
            # A class that was an argument's has another name or place now: the kernel is older than that.
            self.flush()
            return None

    def save_overload(self, *arguments: Any) -> None:
        """Keep it."""
        self._stamp()
        super().save_overload(*arguments)

    def _stamp(self) -> None:
        """Stamp at the first use and not before: what a kernel calls may be defined behind it."""
        if not self._complete:
            stamp = self._cache_file._source_stamp
            self._cache_file._source_stamp = stamp, fingerprint(self._py_func)
            self._complete = True


@functools.cache
def _leave_scipy_out() -> None:
    """Keep numba from loading scipy's linear algebra with any first kernel; one that needs it loads it."""
    linalg: Any = importlib.import_module("numba.np.linalg")
    look = linalg.ensure_blas
    linalg.ensure_blas = lambda: None
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = look


def fingerprint(function: FunctionType) -> str:
    """Stands for all that is compiled into a kernel: it changes with a function called, or a constant."""
    total = hashlib.blake2b(digest_size=16)
    for part in _parts(function, set()):
        total.update(b"%d:" % len(part) + part)
    return total.hexdigest()


def _parts(function: FunctionType, seen: set[int]) -> Iterator[bytes]:
    if id(function) in seen:
        return
    seen.add(id(function))
    names: list[str] = []
    for code in _codes(function.__code__):
        yield code.co_code
        yield from (_written(each) for each in code.co_consts if not isinstance(each, CodeType))
        yield " ".join(code.co_names).encode()
        names += code.co_names
    for name in sorted(set(names) & function.__globals__.keys()):
        value = function.__globals__[name]
        inside = vars(value) if isinstance(value, ModuleType) else {}
        for each in [value, *(inside[inner] for inner in sorted(set(names) & inside.keys()))]:
            yield from _parts_of(each, seen)


def _parts_of(value: object, seen: set[int]) -> Iterator[bytes]:
    if isinstance(value, Dispatcher):
        yield repr(sorted(value.targetoptions.items())).encode()
        yield from _parts(value.py_func, seen)
    elif isinstance(value, _Intrinsic):
        yield from _parts(value._defn, seen)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype.descr}{value.shape}".encode() + value.tobytes()
    elif isinstance(value, tuple):
        for each in value:
            yield from _parts_of(each, seen)
    elif isinstance(value, _PLAIN):
        yield repr(value).encode()


def _written(constant: object) -> bytes:
    """The same in each process: a set's order is not."""
    return repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant).encode()


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


def keep_somewhere() -> None:
    """See to it that numba has a place for what it compiles, with what there is already.

    It looks at the place that was named, in the package and in the user's cache, for the first that it
    can write; and compiles nothing where there is none. A container's user often may write to none of them,
    or kernels lie in one that can only be read. Then it is the directory for temporary files.

    Raises
    ------
    RecommenderError
        That cannot be written either.
    """
    place = _chosen()
    kept = next((each for each in _passed_over(place) if each), None)
    if kept:
        _use(_copied(kept))
    elif place is None:
        _use(temporary_directory())


def _use(directory: Path) -> None:
    os.environ[VARIABLE] = numba.config.CACHE_DIR = str(directory)


def _chosen() -> Path | None:
    """The directory in which numba would keep a kernel of this file; None if it finds none."""
    try:
        return Path(numba.njit(cache=True)(_use).stats.cache_path)  # compiles nothing
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return None


def _passed_over(chosen: Path | None) -> Iterator[dict[Path, Path]]:
    """The files of kernels in each place before the chosen one that cannot be written.

    By where they go, in the order of directories that numba has below a place that was named.
    """
    below = Path(_CacheLocator.get_suitable_cache_subpath(__file__))
    beside = Path(__file__).with_name("__pycache__")
    named = [numba.config.CACHE_DIR] if numba.config.CACHE_DIR else []
    roots = [*map(Path, named), beside, Path(AppDirs(appname="numba", appauthor=False).user_cache_dir)]
    for root in roots:
        if chosen in (root, root / below):
            return
        if _can_be_written(root):
            continue
        if root == beside:
            files = {_place_of(file): file for file in _PACKAGE.glob("**/__pycache__/*.nb[ic]")}
        else:
            files = {file.relative_to(root): file for file in root.glob("*/*.nb[ic]")}
        yield files


def _place_of(file: Path) -> Path:
    source = str(file.parent.parent / "any.py")
    return Path(_CacheLocator.get_suitable_cache_subpath(source), file.name)


def _can_be_written(directory: Path) -> bool:
    """Return True if it can, or could be made: without bytecode Python makes no directory in the package."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    try:
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def _copied(files: dict[Path, Path]) -> Path:
    """A directory among temporary files that has them: the same for the same files, so it is made once."""
    known = hashlib.blake2b(digest_size=8)
    for place, file in sorted(files.items()):
        found = file.stat()
        known.update(f"{place} {found.st_size} {found.st_mtime_ns}\n".encode())
    parent = temporary_directory()
    directory = parent / known.hexdigest()
    if not directory.exists():
        try:
            with tempfile.TemporaryDirectory(dir=parent) as made:
                for place, file in files.items():
                    (Path(made) / place.parent).mkdir(exist_ok=True)
                    shutil.copyfile(file, Path(made) / place)
                Path(made).rename(directory)
                Path(made).mkdir()  # so that there is something to remove
        except OSError as error:
            if not directory.exists():  # else another process was first
                raise RecommenderError(
                    f"What was compiled earlier cannot be copied to {parent} ({error.strerror}): "
                    f"{VARIABLE} can name another place, which can be written"
                ) from None
    return directory


def temporary_directory() -> Path:
    """A directory among the temporary ones that no other user can write: what lies there is run.

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
            f"There is no place for what is compiled at the start ({error.strerror}): neither in the "
            f"package nor in the user's home nor among temporary files. {VARIABLE} can name another one"
        ) from None
    return directory


def njit(*, cache: bool, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for the types that it is called with, as `numba.njit` does.

    With `cache` the code is kept on the disk, and used as long as nothing has changed that went into it.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if cache:
            dispatcher._cache = KernelCache(cast(FunctionType, function))
        return dispatcher

    return decorate


keep_somewhere()

# These loops make no arrays. Telling numba so spares the reference counts of all arrays at each call of a
# helper, which otherwise cost four times the work itself. Nor do they hold the interpreter's lock, so that
# the thread that fetches, and what is saved in another one, go on meanwhile.
kernel = njit(cache=True, _nrt=False, nogil=True)

# The same, compiled into whatever calls it: for a step so small that a call is most of its time.
inlined_kernel = njit(cache=True, _nrt=False, forceinline=True)

# A kernel without tests for a divisor of zero, which forbid vector instructions: no divisor here is zero.
dividing_kernel = njit(cache=True, _nrt=False, nogil=True, error_model="numpy")

inlined_dividing_kernel = njit(cache=True, _nrt=False, forceinline=True, error_model="numpy")

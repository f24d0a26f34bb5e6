"""How the loops over arrays are compiled. Below every room that has one."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

import numba

from recommender.compiled.kernel_cache import KernelCache, keep_somewhere

__all__ = [
    "background_kernel",
    "dividing_kernel",
    "inlined_dividing_kernel",
    "inlined_kernel",
    "kernel",
    "njit",
]


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
# helper, which otherwise cost four times the work itself.
kernel = njit(cache=True, _nrt=False)

# The same, compiled into whatever calls it: for a step so small that a call is most of its time.
inlined_kernel = njit(cache=True, _nrt=False, forceinline=True)

# A kernel without tests for a divisor of zero, which forbid vector instructions: no divisor here is zero.
dividing_kernel = njit(cache=True, _nrt=False, error_model="numpy")

inlined_dividing_kernel = njit(cache=True, _nrt=False, forceinline=True, error_model="numpy")

# What runs beside the event loop, or only reads, does not hold the interpreter's lock meanwhile.
background_kernel = njit(cache=True, _nrt=False, nogil=True)

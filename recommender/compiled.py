"""How the loops over arrays are compiled. Below every room that has one."""

from __future__ import annotations

from numba import njit

# These loops make no arrays. Telling numba so spares the reference counts of all arrays at each call of a
# helper, which otherwise cost four times the work itself. And they do not hold the interpreter's lock:
# meanwhile the thread that fetches requests goes on.
kernel = njit(cache=True, _nrt=False, nogil=True)

# The same without tests for a divisor of zero, which forbid vector instructions: no divisor here is zero.
dividing_kernel = njit(cache=True, _nrt=False, nogil=True, error_model="numpy")

# Loops that make arrays.
array_kernel = njit(cache=True, nogil=True)
dividing_array_kernel = njit(cache=True, nogil=True, error_model="numpy")

"""How the loops over arrays are compiled. Below every room that has one."""

from __future__ import annotations

from numba import njit

# These loops make no arrays. Telling numba so spares the reference counts of all arrays at each call of a
# helper, which otherwise cost four times the work itself.
kernel = njit(cache=True, _nrt=False)

# The same without tests for a divisor of zero, which forbid vector instructions: no divisor here is zero.
dividing_kernel = njit(cache=True, _nrt=False, error_model="numpy")

# What runs beside the event loop, or only reads, does not hold the interpreter's lock meanwhile.
background_kernel = njit(cache=True, _nrt=False, nogil=True)

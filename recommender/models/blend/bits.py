# mypy: allow-untyped-defs, allow-untyped-calls
"""An instruction of the processor that finds marks in a word."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def trailing_zeros(typing_context, word):
    """Count a uint64's lowest bits that are 0, up to the first that is not; for compiled code."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate

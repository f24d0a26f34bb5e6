# mypy: allow-untyped-defs, allow-untyped-calls
"""Instructions of the processor that numba has no name for; for compiled code."""

from __future__ import annotations

import sys

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

#: Bytes that come at once.
LINE = 64
_BYTE, _NUMBER, _WORD = ir.IntType(8).as_pointer(), ir.IntType(32), ir.IntType(64)
#: To be read, needed soon, and data.
_HOW = (_NUMBER(0), _NUMBER(3), _NUMBER(1))


@intrinsic
def prefetch(typing_context, array, place):
    """Ask for what lies at a place of an array, counted through its memory, before it is needed.

    Histories lie scattered over hundreds of megabytes, and the processor's own foresight ends where one of
    them does. It is a wish: no result depends on it, and a place outside the array does no harm.
    """

    def generate(context, builder, signature, arguments):
        made = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(made.data, [arguments[1]]), _BYTE)
        kind = ir.FunctionType(ir.VoidType(), [_BYTE, _NUMBER, _NUMBER, _NUMBER])
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", [_BYTE], kind), [address, *_HOW])
        return context.get_dummy_value()

    return types.none(array, place), generate


@intrinsic
def eight_bytes(typing_context, text, place):
    """The eight bytes from a place of a uint8 array as a uint64, the first one lowest; all must be there."""

    def generate(context, builder, signature, arguments):
        made = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(made.data, [arguments[1]]), _WORD.as_pointer())
        word = builder.load(address, align=1)
        return builder.bswap(word) if sys.byteorder == "big" else word

    return types.uint64(text, types.uint64), generate

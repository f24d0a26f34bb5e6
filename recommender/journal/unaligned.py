# mypy: allow-untyped-defs, allow-untyped-calls
"""Numbers at any place of a byte array, for compiled code: an array's own numbers must be aligned.

Nothing is checked: callers know that the bytes are there. numba runs on little-endian processors only,
and the journal is little-endian.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic


def _address(context: Any, builder: Any, array: Any, arguments: Any, kind: Any) -> Any:
    made = context.make_array(array)(context, builder, arguments[0])
    pointer = context.get_data_type(kind).as_pointer()
    return builder.bitcast(builder.gep(made.data, [arguments[1]]), pointer)


def _loader(kind: Any) -> Any:
    """Compiled ``load(bytes, place)``: the number that begins at a place of a uint8 array."""

    @intrinsic
    def load(typing_context, text, place):
        def generate(context, builder, signature, arguments):
            return builder.load(_address(context, builder, signature.args[0], arguments, kind), align=1)

        return kind(text, types.int64), generate

    return load


def _storer(kind: Any) -> Any:
    """Compiled ``store(bytes, place, value)``: a number is written to a place of a uint8 array."""

    @intrinsic
    def store(typing_context, text, place, value):
        def generate(context, builder, signature, arguments):
            address = _address(context, builder, signature.args[0], arguments, kind)
            builder.store(arguments[2], address, align=1)
            return context.get_dummy_value()

        return types.none(text, types.int64, kind), generate

    return store


#: A byte, too: an array's own index may be negative, which costs a test for each and forbids vectors.
load_uint8, load_int32, load_int64 = _loader(types.uint8), _loader(types.int32), _loader(types.int64)
store_uint8 = _storer(types.uint8)
store_int32, store_int64 = _storer(types.int32), _storer(types.int64)
store_float32, store_float64 = _storer(types.float32), _storer(types.float64)

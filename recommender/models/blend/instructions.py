# mypy: allow-untyped-defs, allow-untyped-calls
"""Instructions of the processor that only a blend needs; others are `recommender.history.instructions`."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_NUMBER = ir.IntType(32)
_PAIR = ir.VectorType(ir.FloatType(), 2)
_NO_PAIR = ir.Constant(_PAIR, ir.Undefined)


@intrinsic
def add_to_pair(typing_context, sums, item, weight, first, second):
    """Add `weight` times two numbers to the row of an item, shape (2,); all float32.

    Both products and both sums are made at once; the result is what one after the other has.
    """

    def generate(context, builder, signature, arguments):
        rows = context.make_array(signature.args[0])(context, builder, arguments[0])
        row = builder.mul(arguments[1], ir.Constant(arguments[1].type, 2))
        address = builder.bitcast(builder.gep(rows.data, [row]), _PAIR.as_pointer())
        numbers, weights = _NO_PAIR, _NO_PAIR
        for place, number in enumerate(arguments[3:]):
            numbers = builder.insert_element(numbers, number, _NUMBER(place))
            weights = builder.insert_element(weights, arguments[2], _NUMBER(place))
        added = builder.fmul(weights, numbers)
        builder.store(builder.fadd(builder.load(address, align=4), added), address, align=4)
        return context.get_dummy_value()

    return types.none(sums, item, types.float32, types.float32, types.float32), generate


@intrinsic
def trailing_zeros(typing_context, word):
    """Count a uint64's lowest bits that are 0, up to the first that is not."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate

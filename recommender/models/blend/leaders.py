"""Leaders of a large catalogue: keeps its cells up to date, and asks them."""

from __future__ import annotations

from recommender.models.base import FloatArray, IntArray
from recommender.models.blend.cells import Cells, empty_cells, fill_cells, leave, pass_events, with_room

#: Cells to begin with; a power of two.
_CELLS = 4096


class Leaders:
    """The cells of all items; made at the first request, since who only learns needs none.

    Nothing of it is part of a state: a model's table says it all.
    """

    def __init__(self) -> None:
        self._cells = empty_cells(0, 1)
        self._made = False

    def pass_events(self, table: FloatArray, items: IntArray, first: int, known: int) -> None:
        """Take in events that the table knows already.

        Parameters
        ----------
        table : float array, shape (at least known, COLUMNS)
        items : int32 array
            The events' items.
        first : int
            The number of the first of them.
        known : int
            How many items there are.
        """
        if not self._made:
            return
        if known > len(self._cells.cell):
            self._cells = with_room(self._cells, len(table), 0)
        done = 0
        while (done := pass_events(self._cells, table, items, first, known, done)) < len(items):
            self._cells = with_room(self._cells, 0, 2 * len(self._cells.keys))

    def leave(self, items: IntArray) -> None:
        """Let items lie in no cell."""
        if self._made:
            for item in items[items < len(self._cells.cell)].tolist():
                leave(self._cells, item)

    def cells(self, table: FloatArray, now: int, known: int) -> Cells:
        """The cells, made if there are none yet."""
        cells = _CELLS
        while not self._made:
            self._cells = empty_cells(len(table), cells)
            self._made = bool(fill_cells(self._cells, table, now, known))
            cells *= 2
        return self._cells

"""matplotlib, where it is installed: pictures of what was measured."""

from __future__ import annotations

from typing import Any

from recommender.errors import RecommenderError


class PictureError(RecommenderError):
    """A picture cannot be made."""


def pyplot(what: str, otherwise: str = "") -> Any:
    """Matplotlib's plotting interface, which draws to files only.

    Parameters
    ----------
    what : str
        What needs it, as the error says.
    otherwise : str
        What else would do, as the error says.

    Raises
    ------
    PictureError
        matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        install = "pip install 'faust-recommender[plot]'"
        raise PictureError(f"{what} needs matplotlib, which is not installed: {install}{otherwise}") from None
    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot

r"""Item neighbours: what stands near your newest items in other users' histories.

Item-based co-occurrence (Sarwar et al.: Item-based collaborative filtering recommendation algorithms,
WWW 2001) with recency on both sides: only the user's newest entries ask, each with
:math:`c_h = decay^k w_h / (n_h + 20)^{0.6}` for lag :math:`k`, and a pair of items counts for less the
further apart they stand in a history:

.. math:: s_i = (n_i + 10)^{-0.5} \sum_h c_h \sum_v w_{vi} \, 0.95^{\max(|x_{vi} - x_{vh}| - 1, 0)}

over users :math:`v` among the newest raters of :math:`h` with :math:`|x_{vi} - x_{vh}| \le 20`; what they had
before :math:`h`, where :math:`x_{vi} < x_{vh}`, counts 0.8 times as much. Every rating is context, by its
weight :math:`w`. This is `recommender.models.sequence.sequence_knn` with an
exponent of 1 and no base, so that a sum over pairs of items is all that remains of it. No matrix of items is
kept: the history is the model.
"""

from __future__ import annotations

from recommender.models.base import ModelContext
from recommender.models.sequence.sequence_knn import SequenceKNN


class ItemKNN(SequenceKNN):
    """Co-occurrence with recency and graded context; see the module.

    Parameters
    ----------
    entries : int
        Newest entries of the user that are looked at.
    decay : float
        What an entry counts less than the next newer one.
    window : int
        How far from a shared item, in events, other items count as near.
    window_decay : float
        What each further event of distance costs.
    raters : int
        Newest raters of each of the user's items whose histories are read; the history may keep fewer.
    """

    def __init__(
        self,
        context: ModelContext,
        *,
        entries: int = 20,
        decay: float = 0.8,
        window: int = 20,
        window_decay: float = 0.95,
        raters: int = 256,
    ) -> None:
        super().__init__(
            context,
            entries=entries,
            decay=decay,
            window=window,
            window_decay=window_decay,
            base=0.0,
            power=1.0,
            raters=raters,
            max_entries=0,
        )

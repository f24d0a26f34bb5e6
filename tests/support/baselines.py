"""The baselines that a KNNBaseline model has in its state."""

from __future__ import annotations

from recommender.models.knn_baseline.model import KNNBaselineModel


def baseline_of(model: KNNBaselineModel, user: int | None = None, item: int | None = None) -> float:
    """The baseline of a user or an item, without the mean; 0 if unknown."""
    index, values = (user, model.state()["users"]) if item is None else (item, model.state()["items"])
    return float(values[index]) if index is not None and 0 <= index < len(values) else 0.0

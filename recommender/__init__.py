"""A streaming recommendation worker on Kafka that learns from every rating as it arrives.

What programs use of it can be imported from here:

>>> from recommender import KNNBaseline
>>> knn = KNNBaseline(low=-1, high=1)

The import of this package alone is cheap: each name is loaded when it is used first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recommender.client.client import Client as Client
    from recommender.client.client import Written as Written
    from recommender.client.errors import BadReply as BadReply
    from recommender.client.errors import BrokerUnreachable as BrokerUnreachable
    from recommender.client.errors import ClientClosed as ClientClosed
    from recommender.client.errors import ClientError as ClientError
    from recommender.client.errors import ConnectionBroken as ConnectionBroken
    from recommender.client.errors import RatingUnconfirmed as RatingUnconfirmed
    from recommender.client.errors import RecommendTimeout as RecommendTimeout
    from recommender.client.errors import RequestFailed as RequestFailed
    from recommender.client.errors import TopicMissing as TopicMissing
    from recommender.errors import RecommenderError as RecommenderError
    from recommender.messages.ratings import Rating as Rating
    from recommender.messages.requests import Request as Request
    from recommender.messages.responses import Recommended as Recommended
    from recommender.messages.responses import Response as Response
    from recommender.models.base import Model as Model
    from recommender.models.base import ModelContext as ModelContext
    from recommender.models.knn_baseline.knn_baseline import Estimate as Estimate
    from recommender.models.knn_baseline.knn_baseline import KNNBaseline as KNNBaseline
    from recommender.models.testing import check_model as check_model
    from recommender.shard.feedback import Feedback as Feedback
    from recommender.shard.options import ShardOptions as ShardOptions
    from recommender.shard.shard import Shard as Shard

__version__ = "0.2.0"

#: Where each name comes from.
_MODULES = {
    # To talk to running workers.
    "Client": "client.client",
    "Written": "client.client",
    "Recommended": "messages.responses",
    "Response": "messages.responses",
    # Its errors.
    "BadReply": "client.errors",
    "BrokerUnreachable": "client.errors",
    "ClientClosed": "client.errors",
    "ClientError": "client.errors",
    "ConnectionBroken": "client.errors",
    "RatingUnconfirmed": "client.errors",
    "RecommendTimeout": "client.errors",
    "RecommenderError": "errors",
    "RequestFailed": "client.errors",
    "TopicMissing": "client.errors",
    # To recommend without Kafka.
    "Estimate": "models.knn_baseline.knn_baseline",
    "Feedback": "shard.feedback",
    "KNNBaseline": "models.knn_baseline.knn_baseline",
    "Rating": "messages.ratings",
    "Request": "messages.requests",
    "Shard": "shard.shard",
    "ShardOptions": "shard.options",
    # To write a model.
    "Model": "models.base",
    "ModelContext": "models.base",
    "check_model": "models.testing",
}

__all__ = [
    "BadReply",
    "BrokerUnreachable",
    "Client",
    "ClientClosed",
    "ClientError",
    "ConnectionBroken",
    "Estimate",
    "Feedback",
    "KNNBaseline",
    "Model",
    "ModelContext",
    "Rating",
    "RatingUnconfirmed",
    "RecommendTimeout",
    "Recommended",
    "RecommenderError",
    "Request",
    "RequestFailed",
    "Response",
    "Shard",
    "ShardOptions",
    "TopicMissing",
    "Written",
    "__version__",
    "check_model",
]


def __getattr__(name: str) -> Any:
    """Load what is used for the first time (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

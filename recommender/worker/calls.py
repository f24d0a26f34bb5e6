"""Recommendations and ratings over HTTP."""

from __future__ import annotations

from typing import Any

from recommender.kafka.plain_clients import client_options
from recommender.kafka.topics import Topics
from recommender.messages.ratings import RatingDecoder
from recommender.messages.records import Send
from recommender.settings import Settings
from recommender.shard.feedback import Feedback
from recommender.web.api import Api
from recommender.web.guard import Guard
from recommender.worker.counters import Counters
from recommender.worker.http_ratings import RatingWriter
from recommender.worker.http_service import HttpService
from recommender.worker.knowledge import Knowledge
from recommender.worker.pacing import RecentRequests
from recommender.worker.passing_on import PassingOn
from recommender.worker.serving import HAND_OVER_SECONDS, Serving
from recommender.worker.transport.faust_app import WorkerApp


class Calls:
    """Adds the calls to a worker's app, and answers them.

    Parameters
    ----------
    app : WorkerApp
    config : Settings
    names : Topics
    feedback : Feedback
        The scale of the ratings.
    knowledge : Knowledge
    serving : Serving
        Logs recommendations.
    counters : Counters
    send : Send
        For ratings, and for requests whose shard is elsewhere.
    recent : RecentRequests
        Takes note of calls.
    """

    def __init__(
        self,
        app: WorkerApp,
        config: Settings,
        *,
        names: Topics,
        feedback: Feedback,
        knowledge: Knowledge,
        serving: Serving,
        counters: Counters,
        send: Send,
        recent: RecentRequests,
    ) -> None:
        scale = feedback.low, feedback.high
        self._passing_on = PassingOn(client_options(config), send, names.requests, names.responses)
        self._service = HttpService(
            knowledge.answers,
            RatingWriter(send, names.ratings, RatingDecoder(*scale, skips=feedback.skips)),
            request_wait=config.request_wait,
            answered=counters.answered,
            arrived=recent.note,
            log=serving.log,
            pass_on=self._passing_on.ask if knowledge.partitions > 1 else None,
        )
        guard = Guard(config.web_host, config.web_token)
        web: Any = app.web
        api = Api(self._service, guard, *scale, skips=feedback.skips)
        api.add_to(web.web_app.router)
        web.frequent["/recommend"] = api.recommend_by_query

    async def close(self) -> None:
        """Settle the calls under way."""
        await self._service.close(HAND_OVER_SECONDS)
        await self._passing_on.close()

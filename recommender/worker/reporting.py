"""Pages and metrics of a worker: is it alive and ready, what it does, and how that looks to a person."""

from __future__ import annotations

from typing import Any

from recommender.items.store import ItemStore
from recommender.settings import Settings
from recommender.web.guard import Guard, People
from recommender.web.live import LivePage
from recommender.web.pages import add_pages
from recommender.worker.broker_watch import BrokerWatch
from recommender.worker.counters import Counters
from recommender.worker.health import Health
from recommender.worker.ingestion import Ingestion
from recommender.worker.items_following import Catalogue
from recommender.worker.just_now import JustNow
from recommender.worker.knowledge import Knowledge
from recommender.worker.loop_watch import LoopWatch
from recommender.worker.metrics import Metrics
from recommender.worker.picture import Picture
from recommender.worker.pulse import Pulse
from recommender.worker.serving import Serving
from recommender.worker.shown_following import Shown
from recommender.worker.transport.faust_app import WorkerApp


class Reporting:
    """Looks at a worker, and adds the pages that tell of it to its app.

    Parameters
    ----------
    app : WorkerApp
    config : Settings
    topic_id : bytes
        Kafka's id of the ratings topic.
    knowledge : Knowledge
    ingestion : Ingestion
    serving : Serving
    counters : Counters
    items : ItemStore
        What the items topic says.
    catalogue : Catalogue
        What follows that.
    just_now : JustNow
        What was learned and answered last.
    shown : Shown, optional
        What was shown to whom, where that is followed.

    Attributes
    ----------
    broker : BrokerWatch
    loop : LoopWatch
    pulse : Pulse
    """

    def __init__(
        self,
        app: WorkerApp,
        config: Settings,
        *,
        topic_id: bytes,
        knowledge: Knowledge,
        ingestion: Ingestion,
        serving: Serving,
        counters: Counters,
        items: ItemStore,
        catalogue: Catalogue,
        just_now: JustNow,
        shown: Shown | None = None,
    ) -> None:
        self._ingestion, self._serving = ingestion, serving
        self.broker, self.loop = (
            BrokerWatch(config.broker, tls=config.security_protocol.endswith("SSL")),
            LoopWatch(),
        )
        metrics = Metrics(
            counters,
            knowledge.replicas,
            knowledge.checkpointing,
            topic_id=topic_id,
            loop=self.loop,
            following=knowledge.following,
            progress=ingestion.progress,
            topics=ingestion.topics,
            request_lags=serving.lags,
            items=catalogue,
            item_count=lambda: len(items),
            shown=shown,
        )
        health = Health(
            knowledge.following,
            serving.consumer,
            knowledge.replicas,
            knowledge.checkpointing,
            self.broker,
            self.loop,
            lambda: app.failure,
            ingestion.committable,
            ingestion.sources,
        )
        add_pages(app, metrics, health)
        picture = Picture(metrics, knowledge.replicas, items)
        self.pulse = Pulse(metrics, knowledge.replicas, health, picture, just_now, self._is_standby)
        people = People(config.web_people, config.web_host, config.web_token)
        guard = Guard(config.web_host, config.web_token)
        web: Any = app.web
        LivePage(self.pulse, people.are_shown, guard).add_to(web.web_app.router)

    def _is_standby(self) -> bool:
        reads = any(each.reads for each in self._ingestion.topics())
        return not self._serving.consumer.partitions and not reads

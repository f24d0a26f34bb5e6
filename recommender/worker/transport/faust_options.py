"""The worker's settings in Faust's words."""

from __future__ import annotations

from typing import Any

import faust
from mode.supervisors import CrashingSupervisor

from recommender.kafka.plain_clients import ssl_context
from recommender.settings import Settings
from recommender.worker.transport import faust_transport

#: Largest record that the worker writes: whatever a topic takes as a rating, and some headers. Kafka has
#: the last word, but hangs up without one on a request of more than 100 MiB.
MAX_RECORD_BYTES = 99 * 1024 * 1024


def faust_options(config: Settings) -> dict[str, Any]:
    """Keyword arguments for `faust.App`."""
    return {
        # Faust lets environment variables win over arguments; a prefix of its own keeps them out.
        "env_prefix": "RECOMMENDER_UNUSED_",
        "broker": faust_transport.urls(config.broker),
        "broker_credentials": _credentials(config),
        "broker_session_timeout": config.session_timeout,
        # Only a heartbeat's answer tells a worker that partitions move: all wait for the one that hears last.
        "broker_heartbeat_interval": min(0.5, config.session_timeout / 6),
        # A member that lives but takes longer to let go of partitions is thrown out, and commits nothing
        # more. The group waits for dead members no longer than their session.
        "broker_rebalance_timeout": max(config.session_timeout, 15.0),
        "broker_request_timeout": max(config.session_timeout + 10.0, 30.0),
        "broker_max_poll_records": config.fetch_records,
        "consumer_auto_offset_reset": "earliest",
        # How soon a topic that was away for a moment is found again.
        "consumer_metadata_max_age_ms": 15_000,
        "producer_linger": 0,
        "producer_max_request_size": MAX_RECORD_BYTES,
        # How long a broker that does not answer is waited for before it is asked again.
        "producer_request_timeout": 10.0,
        "agent_supervisor": CrashingSupervisor,
        "stream_buffer_maxsize": 8,
        "stream_wait_empty": False,
        "table_standby_replicas": 0,
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "web_enabled": config.web_port > 0,
        "web_host": config.web_host,
        "web_bind": config.web_host,
        "web_port": config.web_port or 6066,
        "web_tables_enabled": False,
        "web_router_enabled": False,
    }


def _credentials(config: Settings) -> Any:
    if config.security_protocol == "PLAINTEXT":
        return None
    context = ssl_context(config)
    if config.security_protocol == "SSL":
        return faust.SSLCredentials(context)
    return faust.SASLCredentials(
        username=config.sasl_username,
        password=config.sasl_password,
        mechanism=config.sasl_mechanism,
        ssl_context=context,
    )

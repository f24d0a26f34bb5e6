"""Whether every rating counts once and every request has its reply, after whatever was done."""

from __future__ import annotations

from collections import defaultdict

from recommender.shard.shard import Shard
from tests.chaos.recovery import Events
from tests.chaos.traffic import Sent
from tests.support.kafka import consume_all
from tests.support.worker_logs import Oracle, newest_checkpoint
from tests.support.workers import Installation

#: A reply's offset is committed each second: what was answered so long before a death may be answered again.
COMMIT_SECONDS = 3.0


def ratings(installation: Installation, sent: Sent) -> tuple[list[str], str]:
    """Compare checkpoints with a single pass over the log, and that with what was sent.

    Returns
    -------
    violations : list of str
    summary : str
    """
    violations = [f"Kafka did not take a {each}" for each in sent.refused]
    equal = 0
    shards = Oracle(installation).look()
    for partition, shard in shards.items():
        saved = newest_checkpoint(installation.checkpoints, installation.topics, partition)
        found, expected = (saved.offset, saved.header["digest"]), (shard.offset, shard.digest())
        equal += found == expected
        if found != expected:
            violations.append(f"partition {partition}: checkpoint {found}, a single pass {expected}")
    events = sum(shard.events for shard in shards.values())
    if events != sent.ratings:
        violations.append(f"{sent.ratings} ratings were sent, {events} count")
    found_ratings = {key: rating for shard in shards.values() for key, rating in standing(shard).items()}
    expected_ratings = {key: rating for key, rating in sent.standing.items() if rating is not None}
    if found_ratings != expected_ratings:
        wrong = sorted(found_ratings.items() ^ expected_ratings.items())
        violations.append(f"{len(wrong)} ratings differ from what was sent, such as {wrong[:5]}")
    violations += dead_letters(installation, sent)
    forwarded = sum(shard.offset for shard in shards.values()) - events - len(sent.bad)
    told = (
        f"ratings: {sent.ratings} sent, {events} count; {equal} of {len(shards)} partitions have the digest "
    )
    told += f"of a single pass over the log; {len(sent.bad)} bad records, {forwarded} forwarded"
    return violations, told


def standing(shard: Shard) -> dict[tuple[str, str], float]:
    """The ratings that stand, by user and item."""
    return {
        (user, shard.items.id_of(int(item))): float(rating)
        for user in shard.users.ids()
        for item, rating in zip(*shard.history.rated(shard.users.find(user) or 0)[:2], strict=True)
    }


def dead_letters(installation: Installation, sent: Sent) -> list[str]:
    """Each bad record has a letter, and nothing else has one."""
    places = set()
    for each in consume_all(installation.kafka, installation.topics.dead_letters):
        headers = {name: value for name, value in each.headers if name.startswith("__connect")}
        place = (headers[f"__connect.errors.{what}"] for what in ("partition", "offset"))
        places.add(tuple(map(int, place)))
    if places == sent.bad:
        return []
    return [f"dead letters missing: {sent.bad - places}; too many: {places - sent.bad}"]


def requests(installation: Installation, sent: Sent, events: Events) -> tuple[list[str], str]:
    """Each request has a reply; where nobody died, one.

    Returns
    -------
    violations : list of str
    summary : str
    """
    replies: defaultdict[bytes, list[float]] = defaultdict(list)
    for each in consume_all(installation.kafka, installation.topics.responses):
        replies[dict(each.headers)["kafka_correlationId"]].append(each.timestamp / 1000)
    missing = [each for each in sent.requests if each not in replies]
    disturbed = {
        each
        for each, at in sent.requests.items()
        if events.unexpected(at, min(replies.get(each, [at])) + COMMIT_SECONDS)
    }
    twice = {each for each, when in replies.items() if len(when) > 1}
    violations = []
    if missing:
        violations.append(f"{len(missing)} requests have no reply, such as {missing[:5]}")
    calm_twice = (twice - disturbed) & sent.requests.keys()
    if calm_twice:
        when = sorted((sent.requests[each], sorted(replies[each])) for each in calm_twice)
        such = "; ".join(described(*each, events) for each in when[:: max(1, len(when) // 5)])
        violations.append(f"{len(when)} requests have two replies although nobody had died then: {such}")
    if replies.keys() - sent.requests.keys():
        violations.append("there are replies to what nobody asked")
    calm = len(sent.requests) - len(disturbed)
    told = f"requests: {len(sent.requests)} sent, {len(missing)} without a reply; of {calm} with nobody dead "
    told += f"{len(calm_twice)} had two replies, of {len(disturbed)} others {len(twice & disturbed)}"
    return violations, told


def described(asked: float, replies: list[float], events: Events) -> str:
    """When a request was sent and answered, and what happened about then, for a person."""
    since = asked - events.all[0].began if events.all else 0.0
    after = ", ".join(f"{each - asked:.1f}" for each in replies)
    return f"sent {since:+.1f} s from the first event, replies {after} s later; {events.around(asked)}"

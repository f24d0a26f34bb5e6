"""Whether every rating counts once and every request has its reply, after whatever was done."""

from __future__ import annotations

from collections import defaultdict

from recommender.shard.shard import Shard
from tests.chaos.recovery import Events
from tests.chaos.traffic import Sent
from tests.support.kafka import consume_all
from tests.support.worker_logs import Oracle
from tests.support.workers import Installation, Worker

#: A reply's offset is committed each second: what was answered so long before a death may be answered again.
COMMIT_SECONDS = 3.0


def ratings(oracle: Oracle, sent: Sent, *workers: Worker) -> tuple[list[str], str]:
    """Compare workers with a single pass over the journal, that with the topic, and that with what was sent.

    Returns
    -------
    violations : list of str
    summary : str
    """
    violations = [f"Kafka did not take a {each}" for each in sent.refused]
    try:
        oracle.assert_agrees(*workers)
    except AssertionError as error:
        violations.append(f"workers, journal and topic disagree: {str(error)[:5000]}")
    counts = [replica.rule.counts for replica in oracle.replicas]
    rows, applied, cut = (sum(getattr(each, name) for each in counts) for name in ("rows", "applied", "cut"))
    duplicate, ahead = (sum(getattr(each, name) for each in counts) for name in ("duplicate", "ahead"))
    if rows != sent.ratings:
        violations.append(f"{sent.ratings} ratings were sent, {rows} count")
    # A user is in one of the shards.
    parts = [standing(replica.shard) for replica in oracle.replicas]
    found = {key: rating for part in parts for key, rating in part.items()}
    if len(found) != sum(map(len, parts)):
        violations.append("a rating is in two shards")
    expected = {key: each for key, each in sent.standing.items() if each is not None}
    if found != expected:
        wrong = sorted(found.items() ^ expected.items())
        violations.append(f"{len(wrong)} ratings differ from what was sent, such as {wrong[:5]}")
    violations += dead_letters(oracle.installation, sent)
    told = f"ratings: {sent.ratings} sent, {rows} count; {len(sent.bad)} bad records; blocks of the "
    told += f"journal: {applied} applied, {cut} of them in part, {duplicate} duplicate, "
    told += f"{ahead} ahead; {len(workers)} workers compared with a single pass over each partition"
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

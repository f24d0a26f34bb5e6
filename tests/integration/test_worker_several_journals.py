"""A journal of two partitions and four of the ratings; three workers, one is killed and comes back."""

from __future__ import annotations

from pathlib import Path

from recommender.kafka.topics import ensure
from recommender.messages.partitioning import partition_of
from tests.support.asking import asking
from tests.support.calling import call
from tests.support.kafka import produce
from tests.support.worker_logs import Oracle, generated
from tests.support.workers import installed

PARTITIONS, JOURNAL_PARTITIONS = 4, 2


def test_each_shard_is_equal_on_whoever_holds_it(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "several", 0) as installation:
        topics = installation.topics
        ensure(kafka, topics, PARTITIONS, journal_partitions=JOURNAL_PARTITIONS)
        produce(kafka, topics.ratings, generated(4000, seed=20))
        workers = [installation.worker().start() for _ in range(3)]
        for worker in workers:
            worker.ready()
        oracle = Oracle(installation)
        produce(kafka, topics.ratings, generated(4000, seed=21))
        workers[0].kill()
        produce(kafka, topics.ratings, generated(4000, seed=22))
        workers[0].start().ready()
        oracle.assert_agrees(*workers)
        shards = [replica.shard for replica in oracle.replicas]
        known = [[shard.users.id_of(index) for index in range(len(shard.users))] for shard in shards]
        assert all(
            {partition_of(user, JOURNAL_PARTITIONS) for user in users} == {number}
            for number, users in enumerate(known)
        )
        held = [set(worker.journal) for worker in workers]
        assert set().union(*held) == set(range(JOURNAL_PARTITIONS)), held
        with asking(kafka, topics) as asker:
            for user in [user for users in known for user in users[:5]]:
                assert asker.ask({"user": user}).body["ok"], user
            asker.assert_one_reply_each()
        # Over HTTP any worker answers: one that lacks the user's shard asks another.
        for user in [user for users in known for user in users[:3]]:
            answers = [call(worker, f"/recommend?user={user}").body for worker in workers]
            assert answers[0]["ok"], answers
            assert answers == answers[:1] * len(workers)
        assert all("Traceback" not in worker.log for worker in workers)

"""Does things to workers at random moments."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from recommender.journal.block import HEADER, MAGIC, head_of
from recommender.journal.block_kernels import OFFSETS
from recommender.kafka.admin import open_admin
from recommender.kafka.local.broker import LocalBroker
from tests.chaos.recovery import Events, Log
from tests.support.kafka import Record, consume_all, produce, wait_until
from tests.support.workers import STOP_SECONDS, Installation, Worker

#: Nobody may take longer to recover: then something hangs.
HUNG_SECONDS = 90.0
SESSION_SECONDS = 6.0
LOOK_SECONDS = 0.1
#: How often each is done, for each kill.
OTHERS = {"stop": 0.15, "pause": 0.05, "join": 0.05, "zombie": 0.1, "ahead": 0.05}
#: A zombie writes so many blocks of the journal once more.
STALE_BLOCKS = 50
#: How often two workers are killed at once, and how often nobody waits for the recovery before going on.
TWO, RESTLESS = 0.2, 0.3


class Monkey:
    """Kills, stops, pauses and adds workers until the wanted number of kills is reached.

    It also writes into the journal what must not count, adds a partition and restarts the broker.

    Parameters
    ----------
    installation : Installation
    broker : LocalBroker
    seed : int
    workers : int
        How many run when nothing happens.
    say : function
        Told in one line what is done.

    Attributes
    ----------
    events : Events
    violations : list of str
        What must not be, whatever was done.
    """

    def __init__(
        self,
        installation: Installation,
        broker: LocalBroker,
        seed: int,
        workers: int,
        say: Callable[[str], None],
    ) -> None:
        self.events = Events()
        self.violations: list[str] = []
        self._broker = broker
        self._installation = installation
        self._draw = random.Random(seed)
        self._say = say
        self._log = Log(installation)
        self._running = [installation.worker(session_timeout=SESSION_SECONDS) for _ in range(workers)]
        self._actions = {
            "kill": self._kill,
            "stop": self._stop,
            "pause": self._pause,
            "join": self._join,
            "zombie": self._write_again,
            "ahead": self._write_ahead,
            "grow": self._add_partition,
            "broker": self._restart_broker,
        }
        for each in self._running:
            each.start()
        for each in self._running:
            each.ready()

    def run(self, kills: int) -> None:
        """Do what has to be done; returns when all have recovered and run."""
        self._wait_until_learning(self._ends())
        started, killed = time.monotonic(), 0
        for kind in self._plan(kills):
            if kind == "kill" and killed >= kills:
                continue
            seconds = int(time.monotonic() - started)
            self._say(f"{seconds // 60:3d}:{seconds % 60:02d}  {killed:3d} of {kills} kills, now: {kind}")
            self._actions[kind]()
            killed = sum(each.kind == "kill" for each in self.events.all)
            # Most often all is well again before something else happens.
            if self._draw.random() < 0.7:
                self._wait_until_all_ready()
            time.sleep(self._draw.uniform(0.0, 1.0))
            self._look_for_deaths()
        self._wait_until_learning(self._ends())

    def stop(self) -> None:
        """Stop all workers: each must end in time and without complaint."""
        self._wait_until_all_ready()
        for each in self._running:
            self._stop_worker(each)
        self._log.close()

    def settle(self, seconds: float) -> None:
        """Wait until all is learned, saved, answered and committed."""
        deadline = time.monotonic() + seconds
        while not self._is_settled():
            self._look_for_deaths()
            if time.monotonic() > deadline:
                told = [(each.journal, each.sources) for each in self._running]
                self.violations.append(f"not settled after {seconds:g} s: {told}")
                return
            time.sleep(LOOK_SECONDS)

    @property
    def workers(self) -> list[Worker]:
        """Those that run."""
        return list(self._running)

    def logs(self) -> list[Path]:
        """The logs of all workers."""
        return sorted(self._installation.directory.glob("worker-*/broker.log"))

    def _ends(self) -> dict[int, int]:
        """Where the partitions of the ratings end."""
        return self._log.ends(self._installation.topics.ratings)

    def _plan(self, kills: int) -> list[str]:
        plan = ["kill"] * kills
        for kind, share in OTHERS.items():
            plan += [kind] * max(1, round(kills * share))
        self._draw.shuffle(plan)
        return [*plan[: len(plan) // 2], "broker", "grow", *plan[len(plan) // 2 :]]

    def _is_settled(self) -> bool:
        topics = self._installation.topics
        ends, journal = self._ends(), self._log.ends(topics.journal)
        followed = all(each.is_settled(journal) and each.sources == ends for each in self._running)
        return followed and not any(self._log.lag(each) for each in (topics.ratings, topics.requests))

    def _kill(self) -> None:
        victims = self._draw.sample(self._running, k=2 if self._draw.random() < TWO else 1)
        ends, well = self._ends(), self._all_ready() and len(victims) == 1
        for each in victims:
            self.events.begin("kill", well)
            each.kill()
            self._running.remove(each)
        # Whatever supervises a worker starts it again soon, or only after its partitions have moved.
        if self._draw.random() < 0.5:
            self._wait_until_learning(ends)
        else:
            time.sleep(self._draw.uniform(0.0, 3.0))
        for each in victims:
            self._running.append(each.start())
        if self._draw.random() >= RESTLESS:
            self._wait_until_learning(ends)

    def _stop(self) -> None:
        victim = self._draw.choice(self._running)
        ends = self._ends()
        self.events.begin("stop", self._all_ready())
        self._running.remove(victim)
        self._stop_worker(victim)
        self._wait_until_learning(ends)
        self._running.append(victim.start())

    def _pause(self) -> None:
        """Stop a worker's time for longer than its session; it wakes when others have its partitions."""
        victim = self._draw.choice(self._running)
        ends = self._ends()
        event = self.events.begin("pause", self._all_ready())
        self._running.remove(victim)
        victim.send_signal(signal.SIGSTOP)
        self._wait_until_learning(ends)
        event.recovered = float("inf")  # not before it has woken
        time.sleep(self._draw.uniform(0.0, 2.0))
        victim.send_signal(signal.SIGCONT)
        self._running.append(victim)
        # Until it hears that it is out of its group it answers beside those who have its partitions now.
        self._wait_until(self._is_shared_out, "the requests are not shared out")
        self._wait_until_learning(self._ends())

    def _join(self) -> None:
        """One more worker comes, and goes again a little later."""
        ends = self._ends()
        event = self.events.begin("join", self._all_ready())
        more = self._installation.worker(session_timeout=SESSION_SECONDS).start()
        self._running.append(more)
        wait_until(lambda: _is_up(more), HUNG_SECONDS, more.log)
        event.mended = time.time()
        more.ready()
        self._wait_until_learning(ends)
        time.sleep(self._draw.uniform(0.0, 3.0))
        self._running.remove(more)
        self._stop_worker(more)

    def _write_again(self) -> None:
        """As a worker does that was thought dead: what it writes is there already, and does not count."""
        blocks = consume_all(self._broker.address, self._installation.topics.journal)[-STALE_BLOCKS:]
        self._write([(each.partition, each.value) for each in blocks])
        self._wait_until_learning(self._ends())

    def _write_ahead(self) -> None:
        """A block before which one was lost: it must not count, nor keep its source from being learned."""
        blocks = consume_all(self._broker.address, self._installation.topics.journal)
        before = self._draw.choice(blocks)
        head = head_of(before.value)
        (topic_id, partition), begin = head.source, head.end + 1_000_000
        ahead = HEADER.pack(MAGIC, OFFSETS, 0, partition, 0, begin, begin + 1, 0, 0, topic_id, head.decoder)
        self._write([(before.partition, ahead)])
        self._wait_until_learning(self._ends())

    def _write(self, blocks: list[tuple[int, bytes]]) -> None:
        records = [Record(value, partition=partition) for partition, value in blocks]
        produce(self._broker.address, self._installation.topics.journal, records)

    def _add_partition(self) -> None:
        """The ratings get one partition more."""
        topic = self._installation.topics.ratings
        with open_admin(self._broker.address) as admin:
            admin.create_partitions({topic: len(self._ends()) + 1})
        # Records without a key go there once the producer has seen it.
        self._wait_until(
            lambda: min(self._ends().values()) > 0, "nothing is written to a partition that was added"
        )
        self._wait_until_learning(self._ends())

    def _restart_broker(self) -> None:
        event = self.events.begin("broker", self._all_ready())
        # A consumer that knocks at a dead broker leaves sockets open.
        self._log.close()
        self._broker.kill()
        time.sleep(self._draw.uniform(2.0, 8.0))
        self._broker.restart()
        event.mended = time.time()
        self._log = Log(self._installation)
        self._wait_until_learning(self._ends())

    def _stop_worker(self, worker: Worker) -> None:
        code = worker.ended()
        if code is not None:
            self.violations.append(f"a worker ended by itself, exit code {code}: {worker.log[-3000:]}")
            return
        began, before = time.monotonic(), queued(worker.pid)
        # A process that is still loading its code has nothing to save, and ends as any other does.
        ways = (0,) if _is_up(worker) else (0, -signal.SIGTERM)
        worker.send_signal(signal.SIGTERM)
        waited = 0.0
        while (code := worker.ended()) is None:
            waited = max(waited, queued(worker.pid) - before)
            if time.monotonic() - began > HUNG_SECONDS:
                self.violations.append(f"SIGTERM: runs on after {HUNG_SECONDS:g} s: {worker.log[-2000:]}")
                worker.kill()
                return
            time.sleep(0.02)
        # On a busy machine a process waits for its turn, and that is not its own time.
        took = time.monotonic() - began - waited
        if code not in ways:
            self.violations.append(f"SIGTERM: exit code {code}: {worker.log[-2000:]}")
        if took > STOP_SECONDS:
            self.violations.append(f"SIGTERM took {took:.1f} s and {waited:.1f} s for want of a processor")

    def _wait_until_learning(self, ends: dict[int, int]) -> None:
        """Wait until each partition is learned from beyond an offset, by a worker that is ready.

        Whatever happened before is recovered from then.
        """
        deadline = time.monotonic() + HUNG_SECONDS
        while True:
            found = self._offsets()
            if all(found.get(partition, -1) > end for partition, end in ends.items()):
                break
            if time.monotonic() > deadline:
                self.violations.append(f"no recovery within {HUNG_SECONDS:g} s: {found}, log {ends}")
                break
            time.sleep(LOOK_SECONDS)
            self._look_for_deaths()
        self.events.recovered()

    def _all_ready(self) -> bool:
        return all(each.page("readyz")[0] == 200 for each in self._running)

    def _is_shared_out(self) -> bool:
        """Whether all workers are ready and in the group that answers requests."""
        members = self._installation.members(self._installation.topics.requests)
        return len(members) == len(self._running) and self._all_ready()

    def _wait_until_all_ready(self) -> None:
        self._wait_until(self._all_ready, "not all workers are ready")

    def _wait_until(self, condition: Callable[[], bool], violation: str) -> None:
        deadline = time.monotonic() + HUNG_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                self.violations.append(f"{violation} within {HUNG_SECONDS:g} s")
                return
            time.sleep(LOOK_SECONDS)
            self._look_for_deaths()

    def _offsets(self) -> dict[int, int]:
        """How far each partition is learned by the least of the workers that are ready."""
        found: dict[int, int] = {}
        for each in self._running:
            if each.page("readyz")[0] == 200:
                for partition, offset in each.sources.items():
                    found[partition] = min(offset, found.get(partition, offset))
        return found

    def _look_for_deaths(self) -> None:
        """Nobody dies unless it is killed."""
        for each in self._running:
            code = each.ended()
            if code is not None:
                self.violations.append(f"a worker ended by itself, exit code {code}: {each.log[-3000:]}")
                each.start()


def _is_up(worker: Worker) -> bool:
    """Whether its code is loaded: it answers, though it may not be ready."""
    return worker.page("livez")[0] != 0


def queued(pid: int) -> float:
    """How long a process' main thread waited for a processor, in seconds; 0 where nobody counts."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0

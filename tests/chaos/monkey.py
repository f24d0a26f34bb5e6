"""Does things to workers at random moments."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from recommender.broker import LocalBroker
from tests.chaos.recovery import Event, Events, Log
from tests.kafka.workers import STOP_SECONDS, Installation, Worker

#: Nobody may take longer to recover: then something hangs.
HUNG_SECONDS = 90.0
SESSION_SECONDS = 6.0
LOOK_SECONDS = 0.1
#: How often each is done, for each kill.
OTHERS = {"stop": 0.2, "pause": 0.1, "join": 0.1}


class Monkey:
    """Kills, stops, pauses and adds workers until the wanted number of kills is reached.

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
        self._log = self._open_log()
        self._running = [installation.worker(session_timeout=SESSION_SECONDS) for _ in range(workers)]
        self._actions = {
            "kill": self._kill,
            "stop": self._stop,
            "pause": self._pause,
            "join": self._join,
            "broker": self._restart_broker,
        }
        for each in self._running:
            each.start()
        for each in self._running:
            each.ready()

    def run(self, kills: int) -> None:
        """Do what has to be done; returns when all have recovered and run."""
        plan = self._plan(kills)
        self._wait_until_learning(self._log.ends(self._installation.topics.ratings))
        for number, kind in enumerate(plan, 1):
            self._say(f"{number}/{len(plan)} {kind}")
            self._actions[kind]()
            # Most often all is well again before something else happens.
            if self._draw.random() < 0.7:
                self._wait_until_all_ready()
            time.sleep(self._draw.uniform(0.0, 2.0))
            self._look_for_deaths()

    def stop(self) -> None:
        """Stop all workers: each must end in time and without complaint."""
        self._wait_until_all_ready()
        for each in self._running:
            self._stop_worker(each)
        self._log.close()

    def settle(self, seconds: float) -> None:
        """Wait until all is learned, saved, answered and committed."""
        topics = self._installation.topics
        deadline = time.monotonic() + seconds
        while not self._is_settled(topics.ratings, topics.requests):
            self._look_for_deaths()
            if time.monotonic() > deadline:
                self.violations.append(f"not settled after {seconds:g} s: {self._offsets(True)}")
                return
            time.sleep(LOOK_SECONDS)

    def logs(self) -> list[Path]:
        """The logs of all workers."""
        return sorted(self._installation.directory.glob("worker-*/broker.log"))

    def _open_log(self) -> Log:
        return Log(self._broker.address, self._installation.group, self._installation.partitions)

    def _plan(self, kills: int) -> list[str]:
        plan = ["kill"] * kills
        for kind, share in OTHERS.items():
            plan += [kind] * max(1, round(kills * share))
        self._draw.shuffle(plan)
        return [*plan[: len(plan) // 2], "broker", *plan[len(plan) // 2 :]]

    def _is_settled(self, ratings: str, requests: str) -> bool:
        ends = self._log.ends(ratings)
        return self._offsets(saved=True) == self._offsets() == ends == self._log.committed(
            ratings
        ) and self._log.ends(requests) == self._log.committed(requests)

    def _kill(self) -> None:
        victims = self._draw.sample(self._running, k=2 if self._draw.random() < 0.1 else 1)
        ends = self._log.ends(self._installation.topics.ratings)
        events: list[Event] = []
        for each in victims:
            events.append(self.events.begin("kill", not events and self._all_ready()))
            each.kill()
            self._running.remove(each)
        # Whatever supervises a worker starts it again soon, or only after its partitions have moved.
        if self._draw.random() < 0.5:
            self._wait_until_learning(ends, *events)
        else:
            time.sleep(self._draw.uniform(0.0, 3.0))
        for each in victims:
            self._running.append(each.start())
        self._wait_until_learning(ends, *events)

    def _stop(self) -> None:
        victim = self._draw.choice(self._running)
        ends = self._log.ends(self._installation.topics.ratings)
        event = self.events.begin("stop", self._all_ready())
        self._running.remove(victim)
        self._stop_worker(victim)
        self._wait_until_learning(ends, event)
        self._running.append(victim.start())

    def _pause(self) -> None:
        """Stop a worker's time for longer than its session; it wakes when others have its partitions."""
        victim = self._draw.choice(self._running)
        ends = self._log.ends(self._installation.topics.ratings)
        event = self.events.begin("pause", self._all_ready())
        self._running.remove(victim)
        victim.send_signal(signal.SIGSTOP)
        self._wait_until_learning(ends)
        time.sleep(self._draw.uniform(0.0, 4.0))
        victim.send_signal(signal.SIGCONT)
        self._running.append(victim)
        self._wait_until_learning(self._log.ends(self._installation.topics.ratings), event)

    def _join(self) -> None:
        """One more worker comes, and goes again a little later."""
        ends = self._log.ends(self._installation.topics.ratings)
        event = self.events.begin("join", self._all_ready())
        more = self._installation.worker(session_timeout=SESSION_SECONDS).start()
        self._running.append(more)
        more.ready()
        self._wait_until_learning(ends, event)
        time.sleep(self._draw.uniform(0.0, 5.0))
        self._running.remove(more)
        self._stop_worker(more)

    def _restart_broker(self) -> None:
        event = self.events.begin("broker", self._all_ready())
        # A consumer that knocks at a dead broker leaves sockets open.
        self._log.close()
        self._broker.kill()
        time.sleep(self._draw.uniform(2.0, 8.0))
        self._broker.restart()
        event.mended = time.time()
        self._log = self._open_log()
        self._wait_until_learning(self._log.ends(self._installation.topics.ratings), event)

    def _stop_worker(self, worker: Worker) -> None:
        began = time.monotonic()
        try:
            worker.stop(HUNG_SECONDS)
        except (AssertionError, ProcessLookupError) as error:
            self.violations.append(f"SIGTERM: {str(error)[-2000:]}")
        took = time.monotonic() - began
        if took > STOP_SECONDS:
            self.violations.append(f"SIGTERM took {took:.1f} s")

    def _wait_until_learning(self, ends: dict[int, int], *events: Event) -> None:
        """Wait until each partition is learned from beyond an offset, by a worker that is ready."""
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
        now = time.time()
        for each in self.events.all:
            if each in events and each.recovered > now:
                each.recovered = now

    def _all_ready(self) -> bool:
        return all(each.page("readyz")[0] == 200 for each in self._running)

    def _wait_until_all_ready(self) -> None:
        deadline = time.monotonic() + HUNG_SECONDS
        while not self._all_ready():
            if time.monotonic() > deadline:
                self.violations.append(f"not all workers are ready within {HUNG_SECONDS:g} s")
                return
            time.sleep(LOOK_SECONDS)
            self._look_for_deaths()

    def _offsets(self, saved: bool = False) -> dict[int, int]:
        """How far each partition is learned, or saved, as those workers say that are ready."""
        found: dict[int, int] = {}
        for each in self._running:
            if each.page("readyz")[0] == 200:
                for partition, shard in each.shards.items():
                    found[partition] = shard["saved" if saved else "offset"]
        return found

    def _look_for_deaths(self) -> None:
        """Nobody dies unless it is killed."""
        for each in self._running:
            code = each.ended()
            if code is not None:
                self.violations.append(f"a worker ended by itself, exit code {code}: {each.log[-3000:]}")
                each.start()

"""Random histories of a journal: owners that overlap, crash and come late, and blocks that are refused,
doubled or thrown away.

What is under test is real: blocks, the rule, and the lanes with which a writer keeps its books. Kafka is what
it allows: an owner's blocks land in each partition of the journal in the order in which they were sent, each
at any later time, and those of an owner that died do so or never. Answers come later, or not at all.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import deque

import numpy as np

from recommender.journal.block import Packer, Source
from recommender.journal.lanes import start_offset
from recommender.messages.partitioning import partition_of
from tests.unit.journal.blocks import TOPIC, Block, Row
from tests.unit.journal.owners import AnyRule, Owner, RealRule, Setting, SourceLog

#: Turns in which the last owners must get everything applied; in the first of them blocks are still refused.
LAST_TURNS, LOSSY_TURNS = 60, 20


class History:
    """One history, from a seed.

    Attributes
    ----------
    counts : dict of str to int
        How often blocks were refused, doubled and thrown away, and owners went back.
    """

    def __init__(self, seed: int, setting: Setting) -> None:
        self.random = random.Random(seed)
        self.setting = setting
        self.journal: list[list[Block]] = [[] for _ in range(setting.partitions)]
        self.followers = self._rules()
        self.logs = [self._source(partition) for partition in range(self.random.randint(1, 3))]
        self.committed: dict[Source, int] = {}
        self.owners: list[Owner] = []
        self.lossy = self.random.random() < 0.5
        self.lies = setting.follows and self.random.random() < 0.3
        self.errors: list[str] = []
        self.counts = dict.fromkeys(("refused", "doubled", "thrown away", "returned"), 0)

    def _rules(self) -> list[AnyRule]:
        count = self.setting.partitions
        return [self.setting.rule(partition, count) for partition in range(count)]

    def _source(self, partition: int) -> SourceLog:
        size, rows = self.random.randint(1, 30), []
        for offset in range(size):
            kind = self.random.choice("rrrrrig")
            if kind != "g":
                user = f"{partition}-{self.random.randrange(9)}" if kind == "r" else None
                rows.append(Row(offset, user, "x", 1.0, float(offset)))
        return SourceLog(Source(TOPIC, partition), rows, size)

    def play(self) -> list[str]:
        """Play it to its end; what is wrong then."""
        for log in self.logs:
            self._begin(log)
        for _ in range(self.random.randint(5, 80)):
            self._happen()
        for log in self.logs:
            self._begin(log)
        for turn in range(LAST_TURNS):
            self.lossy &= turn < LOSSY_TURNS
            if not self._turn():
                break
        return self._wrong()

    def _happen(self) -> None:
        owner, draw = self.random.choice(self.owners), self.random.random()
        if draw < 0.35:
            self._send(owner)
        elif draw < 0.65:
            self._land(owner)
        elif draw < 0.75:
            self._answer(owner)
        elif draw < 0.83:
            self._look(owner)
        elif draw < 0.88:
            self._commit(owner)
        elif draw < 0.94:
            self._begin(self.random.choice(self.logs))
        else:
            self._kill(owner)

    def _turn(self) -> bool:
        """Let every owner work; whether there was anything to do."""
        busy = False
        for owner in self.owners:
            while any(owner.sent):
                busy = True
                self._land(owner)
            while owner.alive and owner.answers:
                busy = True
                self._answer(owner)
            if owner.alive:
                busy |= self._look(owner, to_end=True)
                busy |= self._send(owner, most=len(owner.log.rows))
                self._commit(owner)
        return busy

    def _begin(self, log: SourceLog) -> None:
        """A new owner; the one before may not know of it."""
        rules, applied, to_end = self._rules() if self.setting.follows else [], None, True
        for rule, blocks in zip(rules, self.journal, strict=False):
            # An old view of the journal will do, too.
            upto = len(blocks) if self.random.random() < 0.5 else self.random.randint(0, len(blocks))
            rule.step(blocks[:upto])
            to_end &= upto == len(blocks)
        if rules:
            applied = min(rule.applied(log.source) for rule in rules)
        start = start_offset(
            "source",
            self.committed.get(log.source),
            applied,
            log.size,
            followed_to_end=bool(rules) and to_end,
        )
        count = self.setting.partitions
        lane = self.setting.lane(log.source, start, count)
        packer = Packer(log.source, 0, count)
        self.owners.append(Owner(log, lane, packer, rules, [deque() for _ in range(count)]))

    def _send(self, owner: Owner, most: int = 6) -> bool:
        lane, log = owner.lane, owner.log
        if not owner.alive or lane.stopped:
            return False
        rows, offsets = log.arrays
        first = int(np.searchsorted(offsets, lane.next))
        last = min(first + self.random.randint(1, max(most, 1)), len(offsets))
        if first == last:
            return False
        begin, end = lane.next, int(offsets[last - 1]) + 1
        keeps = owner.packer.keeps(rows)
        flight = lane.send(end)
        for queue, keep in zip(owner.sent, keeps, strict=True):
            queue.append((flight, owner.packer.pack(begin, end, rows, offsets, first, last, keep)))
        return True

    def _land(self, owner: Owner) -> None:
        """The oldest block of an owner reaches a partition of the journal, or does not."""
        waiting = [partition for partition, queue in enumerate(owner.sent) if queue]
        if not waiting:
            return
        partition = self.random.choice(waiting)
        flight, value = owner.sent[partition].popleft()
        blocks, offset = self.journal[partition], None
        if self.lossy and self.random.random() < 0.08:
            self.counts["refused"] += 1
        elif self.lies and self.lossy and blocks and self.random.random() < 0.1:
            self.counts["thrown away"] += 1
            offset = blocks[-1].offset
        else:
            for _ in range(2 if self.random.random() < 0.05 else 1):
                gap = self.random.choice([0, 0, 0, 0, 0, 2])
                offset = blocks[-1].offset + 1 + gap if blocks else gap
                blocks.append(Block(offset, value, offset))
            self.counts["doubled"] += _ > 0
        owner.answers.append((flight, partition, offset))

    def _answer(self, owner: Owner) -> None:
        if owner.alive and owner.answers:
            owner.lane.answer(*owner.answers.popleft())

    def _look(self, owner: Owner, *, to_end: bool = False) -> bool:
        """An owner follows, compares, and goes back if it must and may; whether it did."""
        if not owner.alive:
            return False
        for partition, rule in enumerate(owner.rules):
            blocks = self._new(partition, rule)
            rule.step(blocks if to_end else blocks[: self.random.randint(0, len(blocks))])
            owner.lane.check(partition, rule.position, rule.applied(owner.log.source))
        lane = owner.lane
        followed = all(lane.is_followed(place, rule.position) for place, rule in enumerate(owner.rules))
        if not lane.stopped or lane.in_flight or not followed or not self.setting.goes_back:
            return False
        lane.restart(
            lane.restart_offset({place: rule.applied(lane.source) for place, rule in enumerate(owner.rules)})
        )
        self.counts["returned"] += 1
        return True

    def _commit(self, owner: Owner) -> None:
        """An owner commits, also one that is none any more: that may go back, but never too far."""
        if not owner.alive:
            return
        self.committed[owner.log.source] = owner.lane.acked
        if not self.lies:
            self._follow()
            if any(follower.applied(owner.log.source) < owner.lane.acked for follower in self.followers):
                self.errors.append("what is committed is not applied")

    def _kill(self, owner: Owner) -> None:
        owner.alive = False
        if self.random.random() < 0.5:
            for queue in owner.sent:
                for _ in range(self.random.randint(0, len(queue))):
                    queue.pop()

    def _follow(self) -> None:
        for place, follower in enumerate(self.followers):
            follower.step(self._new(place, follower))

    def _new(self, place: int, rule: AnyRule) -> list[Block]:
        """What a rule has not followed yet."""
        blocks = self.journal[place]
        return blocks[bisect_left(blocks, rule.position, key=lambda block: block.offset) :]

    def _wrong(self) -> list[str]:
        """What is wrong with what has counted."""
        self._follow()
        errors = self.errors
        for place, follower in enumerate(self.followers):
            for log in self.logs:
                prefix = f"{log.source.partition}-"
                mine = [int(time) for user, _, _, time in follower.rated if user.startswith(prefix)]
                right = [row.offset for row in log.rows if row.user and self._belongs(row.user, place)]
                if mine != right:
                    errors.append(
                        f"source {log.source.partition}, partition {place}: {mine}, expected {right}"
                    )
            errors += self._differs_from_a_checkpoint(place)
        return errors

    def _belongs(self, user: str, partition: int) -> bool:
        return partition_of(user, self.setting.partitions) == partition

    def _differs_from_a_checkpoint(self, place: int) -> list[str]:
        """Whether a follower that begins with a saved state gets to another one."""
        follower, blocks = self.followers[place], self.journal[place]
        if not isinstance(follower, RealRule):
            return []
        cut = self.random.randint(0, len(blocks))
        first, second = (RealRule(place, self.setting.partitions) for _ in range(2))
        first.step(blocks[:cut])
        second.restore(first.state())
        second.step(blocks[cut:])
        mine, theirs = follower.state(), second.state()
        same = all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)
        return (
            [] if same and first.rated + second.rated == follower.rated else ["from a checkpoint it differs"]
        )

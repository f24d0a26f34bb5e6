"""A shard that follows one partition of the journal: its state is a function of the journal alone."""

from __future__ import annotations

from collections.abc import Sequence

from recommender.history.arrays import Arrays, digest, flat, parted
from recommender.journal.block import Source
from recommender.journal.outcome import Followed
from recommender.journal.poison import learn_around
from recommender.journal.records import Record
from recommender.journal.rule import Rule
from recommender.shard.options import ShardOptions
from recommender.shard.query import AsOf
from recommender.shard.shard import Shard


class Poisoned(Exception):
    """A rating made a model raise, and the shard is in the middle of it: it is of no more use."""


class Replica:
    """A shard, and how far it has followed the journal.

    Following takes three steps, so that a caller with little time can cut the second one into pieces:
    `follow` says which ratings count, `learn` learns them, `finish` moves the position past them.

    Parameters
    ----------
    rule : Rule
        Of the partition of the journal.
    options : ShardOptions

    Attributes
    ----------
    position : int
        The next offset of the journal; everything below it is in the state.
    applied : dict of Source to int
        Up to which offset each source partition is in the state.
    suspects : range
        Offsets of the journal among which a rating made a model raise, when they were learned before.
    """

    def __init__(self, rule: Rule, options: ShardOptions) -> None:
        self.rule = rule
        self.shard = Shard(options)
        self.position = rule.position
        self.applied: dict[Source, int] = {}
        self.suspects = range(0)

    @property
    def partition(self) -> int:
        """The partition of the journal."""
        return self.rule.partition

    def __str__(self) -> str:
        return f"{self.rule.journal}[{self.rule.partition}]"

    def apply(self, records: Sequence[Record]) -> Followed:
        """Follow and learn consecutive records of the journal.

        Raises
        ------
        BlockError
            A record is not a block that this version can read. What comes before it is in the state.
        Poisoned
            See `learn`.
        """
        followed = self.follow(records)
        self.learn(followed, 0, len(followed.rows.ratings))
        self.finish(followed)
        if followed.error is not None:
            raise followed.error
        return followed

    def follow(self, records: Sequence[Record]) -> Followed:
        """Say which ratings of consecutive records count; `learn` and `finish` have to come next."""
        return self.rule.follow(records)

    def learn(self, followed: Followed, first: int, last: int) -> None:
        """Learn some of the rows that count, in their order.

        Raises
        ------
        Poisoned
            A model raised. The replica has to go back to an earlier state and follow again from there, with
            `suspects` as it is now: the ratings that make the model raise are then left out.
        MemoryError
            That is no rating's fault.
        """
        rows = followed.rows.part(first, last)
        passed = range(self.position, self.rule.position)
        if passed.start < self.suspects.stop and passed.stop > self.suspects.start:
            self.shard = learn_around(self.shard, rows, f"{self} offsets {passed.start} to {passed.stop - 1}")
            return
        try:
            self.shard.learn_rows(rows)
        except MemoryError:
            raise
        except Exception as error:
            # A bug seldom fails once. What failed earlier comes again too, if the state before it does.
            first_suspect = min([passed.start, *self.suspects[:1]])
            self.suspects = range(first_suspect, max(passed.stop + WARY, self.suspects.stop))
            raise Poisoned(
                f"{self}: a rating of offsets {passed.start} to {passed.stop - 1} cannot be learned"
            ) from error

    def finish(self, followed: Followed) -> None:
        """Move on past the records whose rows are learned now."""
        self.position = self.rule.position
        self.applied.update(followed.applied)

    def skip_to(self, offset: int) -> None:
        """Continue at an offset beyond the position, because the journal has lost what lies between."""
        self.rule.skip_to(offset)
        self.position = self.rule.position

    def as_of(self, source: Source | None) -> AsOf:
        """The last rating that is in the state: of a source partition, and of the journal."""
        applied = 0 if source is None else self.applied.get(source, 0)
        return AsOf(0 if source is None else source.partition, applied - 1, self.position - 1)

    def state(self) -> Arrays:
        """Everything it has learned and followed, as named arrays; equal states give equal bytes."""
        return self.shard.state() | self.own_state()

    def own_state(self) -> Arrays:
        """The position in the journal and the sources' offsets."""
        return flat({"journal": self.rule.state()})

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""
        self.rule.restore(parted(state)["journal"])
        self.shard.restore(state)
        self.position, self.applied = self.rule.position, self.rule.sources

    def digest(self) -> str:
        """A fingerprint of the state: equal for equal states, and only for them."""
        return digest(self.state())


#: After a block with a rating that cannot be learned, this many that follow are learned with care.
WARY = 64

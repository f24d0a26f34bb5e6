"""A/B arms: which models take part in an experiment, and which user sees which.

Assignment is weighted rendezvous hashing (Thaler and Ravishankar, 1998): each arm draws a number from a keyed
hash of the experiment, itself and the user, and the arm with the highest share / -log(number) wins. So it
needs no memory, is the same on every worker and after every restart, and an arm whose share grows only wins
users: no user moves between two other arms.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from recommender.errors import RecommenderError


class ArmError(RecommenderError):
    """The arms of an experiment are not understood, or one is asked for that does not exist."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm: a model, as the registry names it, and its share of users relative to the others'."""

    name: str
    share: float


@dataclass(frozen=True, slots=True)
class Arms:
    """An experiment: its name and its arms.

    Attributes
    ----------
    name : str
        Another name assigns users again, independently.
    arms : tuple of Arm
        The first is what the others are compared with.
    """

    name: str
    arms: tuple[Arm, ...]

    def __post_init__(self) -> None:
        if not self.name:
            raise ArmError("the experiment's name is empty")
        if not self.arms:
            raise ArmError("an experiment needs at least one arm, got none")
        seen: set[str] = set()
        for arm in self.arms:
            if arm.name in seen:
                raise ArmError(f"arm {arm.name!r} is given twice")
            seen.add(arm.name)
            if not (arm.share >= 0.0 and math.isfinite(arm.share)):
                raise ArmError(
                    f"arm {arm.name!r} has share {arm.share:g}: must be a finite number of at least 0"
                )
        if not any(arm.share > 0.0 for arm in self.arms):
            raise ArmError(f"the shares of {', '.join(sorted(seen))} are all 0: one must be above 0")

    @classmethod
    def parse(cls, text: str, name: str = "default") -> Arms:
        """Read ``MODEL:SHARE,MODEL:SHARE``; a share follows the last colon, since models may have colons.

        Examples
        --------
        >>> [arm.name for arm in Arms.parse("cooc:1,flurs:mf:2,knn-baseline/k=20:1").arms]
        ['cooc', 'flurs:mf', 'knn-baseline/k=20']

        Raises
        ------
        ArmError
            An arm has no share or a bad one, comes twice, or all shares are 0.
        """
        arms = []
        for part in text.split(","):
            model, colon, share = (piece.strip() for piece in part.rpartition(":"))
            if not colon or not model:
                raise ArmError(f"arm {part.strip()!r} of {text!r} has no share: expected MODEL:SHARE")
            try:
                arms.append(Arm(model, float(share)))
            except ValueError:
                raise ArmError(
                    f"arm {part.strip()!r} has share {share!r}: not a number; expected MODEL:SHARE"
                ) from None
        return cls(name, tuple(arms))

    @property
    def names(self) -> tuple[str, ...]:
        """The arms' names in order."""
        return tuple(arm.name for arm in self.arms)

    def arm_of(self, user: str) -> str:
        """The arm whose recommendations the user sees."""
        if len(self.arms) == 1:
            return self.arms[0].name
        return max(self.arms, key=lambda arm: (self.weight(arm, user), arm.name)).name

    def choose(self, user: str, forced: str | None = None) -> str:
        """The user's arm, or the one that a request asks for.

        Raises
        ------
        ArmError
            There is no such arm.
        """
        if forced is None:
            return self.arm_of(user)
        if forced not in self.names:
            expected = " or ".join(map(repr, self.names))
            raise ArmError(f"arm {forced!r} does not exist: expected {expected}")
        return forced

    def weight(self, arm: Arm, user: str) -> float:
        """The weight of an arm for a user, whose arm is that with the highest."""
        # What reads settings knows this module, and needs nothing compiled.
        from recommender.models.elementary import logarithm

        if arm.share == 0.0:
            return -1.0
        key = hashlib.blake2b(self.name.encode(), digest_size=32).digest()
        name = arm.name.encode()
        message = len(name).to_bytes(4, "big") + name + user.encode()
        drawn = int.from_bytes(hashlib.blake2b(message, digest_size=8, key=key).digest(), "big")
        # 53 bits, the middle of a cell: a float strictly between 0 and 1.
        return -arm.share / float(logarithm(((drawn >> 11) + 0.5) / 2**53))

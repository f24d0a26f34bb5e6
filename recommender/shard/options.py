"""The settings that a shard needs, in its own words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from recommender.settings import Settings, SettingsError, learned_names, shown, variable
from recommender.shard.arms import Arm, ArmError, Arms
from recommender.shard.bounds import DAY, Bounds
from recommender.shard.exploration import Exploration, ExplorationError
from recommender.shard.feedback import Feedback


@dataclass(frozen=True, slots=True)
class ShardOptions:
    """The options by which a shard learns and answers.

    Attributes
    ----------
    model : str
        The model's name, with options, as the registry reads it; of several the first.
    feedback : Feedback
        Which ratings teach, and how strongly.
    seed : int
        Of all that is drawn: samples, first factors, exploration.
    test_every : int
        One in `test_every` positive ratings tests the model before it is learned; 0: none.
    test_window : int
        The number of newest tests that the live metrics cover.
    experiment : Arms, optional
        The arms, if there are several models. Only which they are decides what is learned.
    exploration : Exploration
        How lists are explored where a request says nothing; not learned from.
    repeats : str
        Which of a user's ratings of an item stands: ``replace``, the last one, or ``highest``, until that is
        withdrawn.
    bounds : Bounds
        How much is kept.
    """

    model: str = "popular"
    feedback: Feedback = field(default_factory=lambda: Feedback.parse("graded:4"))
    seed: int = 0
    test_every: int = 10
    test_window: int = 1000
    experiment: Arms | None = None
    exploration: Exploration = field(default_factory=Exploration)
    repeats: str = "replace"
    bounds: Bounds = field(default_factory=Bounds)

    @classmethod
    def of(cls, settings: Settings) -> ShardOptions:
        """The options that `settings` ask for."""
        feedback = Feedback.parse(settings.feedback, settings.rating_min, settings.rating_max)
        arms = arms_of(settings)
        return cls(
            model=arms.names[0],
            feedback=feedback,
            seed=settings.seed,
            test_every=settings.test_every,
            test_window=settings.test_window,
            experiment=arms,
            exploration=exploration_of(settings),
            repeats="highest" if settings.repeats == "highest" else "replace",
            bounds=Bounds(
                settings.max_users,
                settings.max_ratings_per_user,
                settings.user_ttl * DAY,
                settings.max_items,
                settings.item_ttl * DAY,
                settings.max_ratings,
            ),
        )

    @property
    def highest(self) -> bool:
        """True if the highest of a user's ratings of an item stands."""
        return self.repeats == "highest"

    @property
    def arms(self) -> Arms:
        """The experiment; without one the model is its only arm."""
        return self.experiment or Arms("default", (Arm(self.model, 1.0),))


def arms_of(settings: Settings) -> Arms:
    """The arms, or where there are none the model alone; a `SettingsError` if they are not understood."""
    if not settings.arms:
        return Arms(settings.experiment, (Arm(settings.model, 1.0),))
    try:
        return Arms.parse(settings.arms, settings.experiment)
    except ArmError as error:
        raise SettingsError(f"{variable('arms')} has value {settings.arms!r}: {error}") from None


def logs_recommendations(settings: Settings) -> bool:
    """Return True if recommendations go to the log; a `SettingsError` if what needs it is on without."""
    chosen, times = settings.recommendations_log, settings.hide_seen
    if chosen == "off" and times:
        raise SettingsError(
            f"{variable('hide_seen')} has value {times}, which needs the log of what was shown, but "
            f"{variable('recommendations_log')} has value 'off': expected auto or on"
        )
    return chosen == "on" or (chosen == "auto" and (len(arms_of(settings).arms) > 1 or times > 0))


def exploration_of(settings: Settings) -> Exploration:
    """The exploration that is set; a `SettingsError` if there is no such way."""
    try:
        return Exploration.parse(settings.explore)
    except ExplorationError as error:
        raise SettingsError(f"{variable('explore')} has value {settings.explore!r}: {error}") from None


def learned_settings(settings: Settings) -> dict[str, Any]:
    """The settings that change what is learned from the same log, as text or numbers that JSON has.

    All models of an experiment learn everything, whatever their shares and their order: here they are one
    setting, `model`, with their names.
    """
    names = (name for name in learned_names() if name != "arms")
    models = ", ".join(sorted(arms_of(settings).names))
    return {name: models if name == "model" else shown(settings, name) for name in names}

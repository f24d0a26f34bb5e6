"""The rules that every model must keep, as a function that checks a model of one's own.

``check_model(MyModel)`` drives a model as a shard drives it and raises an `AssertionError` that names the
broken rule. The models of this package are checked by the same rules.
"""

from __future__ import annotations

from recommender.models.driven import Driven, Event, Factory, random_log
from recommender.models.rules import CHECKS

__all__ = ["CHECKS", "Driven", "Event", "Factory", "check_model", "random_log"]


def check_model(make: Factory, seed: int = 0) -> None:
    """Check a model against all rules of `recommender.models.base.Model`.

    Parameters
    ----------
    make : callable
        Makes a new model from a `ModelContext`: the model's class, or a function where it has options.
    seed : int
        Of the random ratings that the model learns.

    Raises
    ------
    AssertionError
        A rule is broken; the message names the rule and how.

    Examples
    --------
    >>> from recommender.models.popular import PopularRecent
    >>> check_model(lambda context: PopularRecent(context, half_life=50.0))
    """
    for check in CHECKS:
        try:
            check(make, seed)
        except AssertionError as error:
            raise AssertionError(f"{check.__name__}: {error}") from None
        except Exception as error:
            what = f"the model raised {type(error).__name__}: {error}"
            raise AssertionError(f"{check.__name__}: {what}") from error

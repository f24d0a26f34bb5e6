"""Compares the blend with its own components: on each stream both, and the difference.

`python -m benchmarks.components` measures MovieLens 100K and generated streams; more are named as arguments:
files of ratings, and git repositories, of which the stream is who changed which file. It prints Markdown.

Tests fall on positive events of the whole stream, drawn at random, of items that the user does not have.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import streams
from recommender.evaluation.datasets import movielens
from recommender.evaluation.prequential import Evaluation, Replay, Scored
from recommender.evaluation.streams import Stream
from recommender.models.blend.blend import Blend
from recommender.models.blend.features import FEATURES
from recommender.shard import warmup
from recommender.shard.live_metrics import MISS, TOP, rank_of

DEFAULT = "blend"
#: The features that could rank alone: of two that rank alike, one.
SINGLES = (0, 2, 4, 5, 6, 7, 8, 11)
COMPONENTS = tuple(FEATURES[column] for column in SINGLES)
#: About so many tests a stream.
TESTS = 4000
_SEED = 3
#: A difference counts from so many standard errors on.
_INTERVAL = 1.96


class Hits(NamedTuple):
    """The tests that had their target among the first ten: of the default, and of each component.

    `default` has shape (tests,), `components` (components, tests); `first_half` says which tests are of the
    first half of the stream.
    """

    default: NDArray[np.bool_]
    components: NDArray[np.bool_]
    first_half: NDArray[np.bool_]


class Difference(NamedTuple):
    """The lead of the default over the best component, and the standard error of that."""

    best: str
    recall: float
    difference: float
    error: float

    @property
    def behind(self) -> bool:
        """Return True if that is more than 1 % behind, and more than one standard error."""
        return self.difference < -max(0.01 * self.recall, self.error)


def measured(stream: Stream) -> Hits:
    """Replay a stream, and rank each test by the default and by each component alone."""
    pairs = stream.users.astype(np.int64) * (int(stream.items.max()) + 1) + stream.items
    new = np.zeros(len(stream), np.bool_)
    new[np.unique(pairs, return_index=True)[1]] = True
    targets = np.flatnonzero(new & (stream.weights >= stream.positive_weight))
    drawn = np.random.default_rng(_SEED).random(len(targets)) < TESTS / len(targets)
    stream.tested[:] = False
    stream.tested[targets[drawn]] = True
    ranks: list[list[int]] = []

    def scored(_: Evaluation, test: Scored) -> None:
        assert isinstance(model, Blend)
        features = model.features(test.user, test.candidates)
        ranks.append([rank_of(test.item, test.candidates, features[:, column]) for column in SINGLES])

    replay = Replay(stream, [DEFAULT], scored=scored)
    model = replay.models[0][0]
    default = replay.run()[0].array()
    # An item that nobody has seen is a miss for all, and nothing is scored.
    alone = np.full((len(SINGLES), len(default)), MISS, np.int32)
    alone[:, default != MISS] = np.array(ranks, np.int32).T
    return Hits(default < TOP, alone < TOP, np.flatnonzero(stream.tested) < len(stream) / 2)


def difference(default: NDArray[np.bool_], components: NDArray[np.bool_]) -> Difference:
    """The default beside the best of the components on the same tests."""
    recalls = components.mean(axis=1)
    best = int(np.argmax(recalls))
    ahead = default.astype(np.float64) - components[best]
    return Difference(
        COMPONENTS[best], float(recalls[best]), float(ahead.mean()), float(ahead.std() / np.sqrt(len(ahead)))
    )


def chosen(sources: tuple[str, ...]) -> Iterator[tuple[str, Stream]]:
    """The streams to measure, and what to call them."""
    for positive in (5.0, 4.0, 3.0):
        yield f"MovieLens 100K, {positive:g}", streams.rated(movielens.ML_100K, positive, _say)
    for source in sources:
        path = Path(source)
        is_repository = (path / ".git").exists() or (path / "HEAD").exists()
        yield path.name, streams.changed_files(path) if is_repository else streams.rated(source, 1.0, _say)
    for name in streams.GENERATED:
        yield name, streams.generated(name)


def row(name: str, hits: Hits) -> str:
    """One line of the table."""
    cells = [name, str(len(hits.default)), f"**{hits.default.mean():.3f}**"]
    cells += [f"{recall:.3f}" for recall in hits.components.mean(axis=1)]
    for part in (np.ones(len(hits.default), np.bool_), hits.first_half):
        found = difference(hits.default[part], hits.components[:, part])
        relative = np.array([found.difference, _INTERVAL * found.error]) / max(found.recall, 1e-9)
        mark = " behind" if found.behind else ""
        cells.append(f"{100 * relative[0]:+.1f} ± {100 * relative[1]:.1f} %{mark}")
    return f"| {' | '.join(cells)} |"


def _say(text: str) -> None:
    print(text, file=sys.stderr)


@click.command()
@click.argument("sources", nargs=-1)
def main(sources: tuple[str, ...]) -> None:
    """Compare the default model with its components on MovieLens 100K, SOURCES and generated streams."""
    warmup.warm((DEFAULT,))
    head = ["stream", "tests", DEFAULT, *COMPONENTS, "over the best", "in the first half"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for name, stream in chosen(sources):
        print(row(name, measured(stream)), flush=True)


if __name__ == "__main__":
    main()

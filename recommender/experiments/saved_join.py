"""A join of both logs, saved between two reports, so that the next one reads only what is new.

One ``.npz`` file, as a checkpoint is: arrays, a header in JSON and a digest, without pickle. It has its name
only when all of it is durable.
"""

from __future__ import annotations

from typing import IO, Any

from recommender import __version__
from recommender.checkpoints import file_format
from recommender.checkpoints.open_storage import split
from recommender.checkpoints.storage import StorageError
from recommender.errors import RecommenderError
from recommender.experiments.log_join import JoinedLogs
from recommender.history.arrays import Arrays, digest

FORMAT = 3


class StateError(RecommenderError):
    """A saved state is damaged, or of something else."""


def save(location: str, identity: dict[str, Any], joined: JoinedLogs) -> None:
    """Save how far the logs were read and what came of it.

    Parameters
    ----------
    location : str
        A file, or a URL.
    identity : dict
        What the state depends on besides the logs' records, as JSON has it.
    joined : JoinedLogs

    Raises
    ------
    StateError
        It cannot be written; what was there is untouched.
    """
    state = joined.state()
    header = {"format": FORMAT, "version": __version__, "identity": identity, "digest": digest(state)}

    def fill(file: IO[bytes]) -> None:
        file_format.write(file, header, state)

    place, name = split(location)
    try:
        place.write(name, fill)
    except OSError as error:
        raise StateError(f"{location} cannot be written: {error.strerror or error}") from None


def load(location: str, identity: dict[str, Any], joined: JoinedLogs) -> bool:
    """Continue from a saved state, if there is one.

    Returns
    -------
    bool
        True if there was one.

    Raises
    ------
    StateError
        It is damaged, or was saved with another identity; says what differs.
    StorageError
        The URL's place cannot be reached.
    """
    place, name = split(location)
    try:
        with place.fetch(name) as file, file_format.opened(file) as arrays:
            header = file_format.header_of(arrays)
            state: Arrays = {each: arrays[each] for each in arrays.files if each != file_format.HEADER}
        expected, format_, theirs = header["digest"], header["format"], dict(header["identity"])
    except FileNotFoundError:
        return False
    except StorageError:
        raise
    except Exception as error:  # a damaged archive raises whatever its bytes happen to ask for
        why = str(error) or type(error).__name__
        raise StateError(f"{location} is no saved state, or damaged: {why}. {_AGAIN}") from None
    if format_ != FORMAT:
        raise StateError(
            f"{location} was saved by another version: its format is {format_}, expected {FORMAT}. {_AGAIN}"
        )
    if digest(state) != expected:
        raise StateError(f"{location} is damaged: its digest is not the one it was saved with. {_AGAIN}")
    differences = [
        f"{name} was {theirs.get(name)}, now {identity.get(name)}"
        for name in sorted({*identity, *theirs})
        if identity.get(name) != theirs.get(name)
    ]
    if differences:
        raise StateError(f"{location} does not fit: {'; '.join(differences)}. {_AGAIN}")
    joined.restore(state)
    return True


_AGAIN = "Another file, or none, reads both topics from the start"

"""A saved join: the same afterwards, and refused when it is damaged or of something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recommender.experiments import saved_join
from recommender.experiments.log_join import JoinedLogs
from recommender.experiments.saved_join import StateError
from tests.unit.experiments.join_logs import block, fetched, logged, logs_of
from tests.unit.experiments.joins import Shown
from tests.unit.experiments.test_log_join import digest_of

IDENTITY: dict[str, Any] = {"topics": ["ratings", "id"], "since": None, "window": 10.0}


@pytest.fixture
def joined() -> JoinedLogs:
    """A join in the middle of its logs."""
    made = logs_of()
    shown = [Shown("u", f"r{number}", "e", "a", float(number), ("x", "y")) for number in range(40)]
    made.take_recommendations(0, fetched("shown", [logged(each) for each in shown]))
    made.take_blocks(0, fetched("rated", [block(*(("u", "x", 5.0, float(number)) for number in range(40)))]))
    made.settle_at_ends()
    return made


def test_it_goes_on_where_it_was(location: str | Path, joined: JoinedLogs) -> None:
    place, again = f"{location}/state.npz", logs_of()
    assert not saved_join.load(place, IDENTITY, again)
    saved_join.save(place, IDENTITY, joined)
    assert saved_join.load(place, IDENTITY, again)
    assert digest_of(again) == digest_of(joined)
    assert again.counts().rows.tobytes() == joined.counts().rows.tobytes()


def refused(place: Path, into: JoinedLogs) -> str:
    """Why a file is refused; empty if it is not."""
    try:
        saved_join.load(str(place), IDENTITY, into)
    except StateError as error:
        return str(error)
    return ""


def test_every_flipped_byte_that_matters_is_noticed(tmp_path: Path, joined: JoinedLogs) -> None:
    place = tmp_path / "state.npz"
    saved_join.save(str(place), IDENTITY, joined)
    whole = place.read_bytes()
    noticed = 0
    for number in range(0, len(whole), 97):
        place.write_bytes(whole[:number] + bytes([whole[number] ^ 1]) + whole[number + 1 :])
        again = logs_of()
        told = refused(place, again)
        noticed += bool(told)
        # What is not noticed stands in what an archive says twice or not at all.
        assert digest_of(again) == digest_of(logs_of() if told else joined)
        assert not told or str(place) in told
    assert noticed > 0.5 * len(range(0, len(whole), 97))
    for length in range(0, len(whole), 997):
        place.write_bytes(whole[:length])
        with pytest.raises(StateError, match=r"damaged.*reads both topics from the start"):
            saved_join.load(str(place), IDENTITY, logs_of())


def test_what_differs_is_told(tmp_path: Path, joined: JoinedLogs) -> None:
    place = str(tmp_path / "state.npz")
    saved_join.save(place, IDENTITY, joined)
    with pytest.raises(
        StateError, match=r"does not fit: since was None, now 5; window was 10\.0, now 20\.0\."
    ):
        saved_join.load(place, IDENTITY | {"window": 20.0, "since": 5}, logs_of())


def test_a_state_of_the_former_layout_is_refused(
    tmp_path: Path, joined: JoinedLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(tmp_path / "state.npz")
    with monkeypatch.context() as former:
        former.setattr(saved_join, "FORMAT", 2)
        saved_join.save(place, {"topics": ["ratings"], "partitions": 2}, joined)
    with pytest.raises(StateError, match=r"by another version: its format is 2, expected 3\. Another file"):
        saved_join.load(place, IDENTITY, logs_of())


def test_a_place_that_cannot_be_written(tmp_path: Path, joined: JoinedLogs) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be written"):
        saved_join.save(str(tmp_path / "file" / "state.npz"), IDENTITY, joined)

"""`import recommender` costs nothing, and has the names that programs use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import recommender

HEAVY = ("numba", "numpy", "faust", "mode", "kafka", "aiokafka", "msgspec", "click", "rich", "scipy")


def loaded(program: str) -> list[str]:
    """The heavy libraries that a program in a process of its own has loaded at its end."""
    program += f"\nimport sys; print(*(each for each in {HEAVY} if each in sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return ended.stdout.split()


def test_the_import_loads_no_library() -> None:
    assert loaded("import recommender; dir(recommender); recommender.__version__") == []


def test_the_client_needs_neither_numba_nor_faust() -> None:
    found = loaded("from recommender import Client, RecommendTimeout, RecommenderError")
    assert not {"numba", "numpy", "faust", "mode", "aiokafka"} & set(found)
    assert "kafka" in found


def test_models_need_no_kafka() -> None:
    found = loaded("from recommender import KNNBaseline, Model, Shard, ShardOptions, check_model")
    assert not {"kafka", "aiokafka", "faust", "mode"} & set(found)
    assert "numba" in found


@pytest.mark.parametrize("name", recommender.__all__)
def test_every_name_is_there(name: str) -> None:
    found = getattr(recommender, name)
    assert name in dir(recommender)
    assert getattr(recommender, name) is found
    if name != "__version__":
        assert found.__name__ == name
        assert found.__doc__


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(recommender.__file__).read_text("utf-8"))
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: f"{node.module}".removeprefix("recommender.")
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == recommender._MODULES  # noqa: SLF001
    assert {*seen, "__version__"} == set(recommender.__all__)


def test_another_name_is_an_error_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'recommender' has no attribute 'Faust'"):
        recommender.Faust  # noqa: B018
    with pytest.raises(ImportError):
        from recommender import Nothing  # noqa: F401


def test_a_shard_recommends_without_kafka() -> None:
    ratings = [("ann", "tea", 1.0), ("ann", "milk", 2.0), ("bob", "tea", 3.0)]
    shard, timed = (
        recommender.Shard(recommender.ShardOptions("blend")),
        recommender.Shard(recommender.ShardOptions("blend")),
    )
    shard.learn(recommender.Rating(user, item, 5.0, time) for user, item, time in ratings)
    timed.learn([recommender.Rating(user, item, 5.0, None) for user, item, _ in ratings], [1.0, 2.0, 3.0])
    assert [place.item for place in shard.recommend(recommender.Request("bob", n=3)).items] == ["milk"]
    assert shard.digest() == timed.digest()

"""The examples that need no broker, and that none is left out."""

from __future__ import annotations

import re

from tests.support.examples import EXAMPLES, run_example

WITHOUT_BROKER = {"knn_without_kafka", "own_model"}
#: Run in `tests.integration.test_examples`.
WITH_BROKER = {"ask", "over_http", "plain_kafka"}


def test_every_example_is_run() -> None:
    assert {each.stem for each in EXAMPLES.glob("*.py")} == WITHOUT_BROKER | WITH_BROKER


def test_knn_changes_its_mind_with_each_rating() -> None:
    told = run_example("knn_without_kafka")
    before, after, strange = re.split(r"dan dislikes milk now\n|dan takes both back\n", told)
    assert re.search(r"milk +\+", before)
    assert "milk" not in after
    assert strange.count("nothing known") == 3


def test_a_model_of_ones_own() -> None:
    told = run_example("own_model")
    assert "the model keeps the rules" in told
    recalls = {name: float(share) for name, share in re.findall(r"recall@10 of (\w+): (0\.\d+)", told)}
    assert recalls["next"] > 2 * recalls["popular"] > 0.2

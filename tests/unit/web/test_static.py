"""The files of the live page: what is vendored is what it says, and nothing loads from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from recommender.web.live import STATIC

OWN = ("index.html", "live.js", "live.css")


def test_vendored_files_are_those_that_were_taken() -> None:
    (vendored,) = json.loads((STATIC / "VENDORED.json").read_text("utf-8")).values()
    for name, expected in vendored["sha256"].items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == expected
    assert (STATIC / "uPlot.LICENSE").read_text("utf-8").startswith("The MIT License")


@pytest.mark.parametrize("name", OWN)
def test_nothing_is_loaded_from_elsewhere(name: str) -> None:
    addresses = re.findall(r"https?://[^\s\"')]+", (STATIC / name).read_text("utf-8"))
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}


def test_no_markup_is_made_of_what_comes() -> None:
    script = (STATIC / "live.js").read_text("utf-8")
    for name in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"):
        assert name not in script


def test_the_page_has_no_script_or_style_in_its_markup() -> None:
    markup = (STATIC / "index.html").read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", markup)
    used = set(re.findall(r"byId\(\"([\w-]+)\"\)", (STATIC / "live.js").read_text("utf-8")))
    assert used - set(re.findall(r"id=\"([\w-]+)\"", markup)) == set()

"""The live page in a real browser, on a real worker: what it shows, and what it must not do."""

from __future__ import annotations

import http.client
import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from playwright.sync_api import Browser, expect

from recommender.client.items import write_items
from recommender.kafka.local.ports import HOST
from tests.support.browser import Watched, browsing, violations
from tests.support.kafka import Record, produce, wait_until
from tests.support.worker_logs import Running, generated, rating, running_worker
from tests.support.workers import Worker

COUNT = 3000
#: Ids that a page must show as they are.
HOSTILE = '<img src=x onerror="document.title=1">'
HOSTILE_ITEM = "</script><b>'\"&amp;{}\u202e"
TITLE = "Two & a <half>"
SECONDS = 20_000


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that has learned some ratings, of which one user and one item have hostile names."""
    hostile = [rating(HOSTILE, f"i{number}", 5) for number in range(3)]
    hostile += [rating(HOSTILE, HOSTILE_ITEM, 4), rating("u1", HOSTILE_ITEM, 5)]
    ratings = [*generated(COUNT), *map(Record, hostile)]
    with running_worker(kafka, tmp_path_factory.mktemp("page"), "page", ratings=ratings) as running:
        titled = {"title": TITLE, "categories": ["even"]}
        write_items([("i2", titled), ("i4", {"categories": ["even"]})], kafka, running.topics.items)
        running.worker.learned({0: len(ratings)})
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with browsing() as browser:
        yield browser


@pytest.fixture
def opened(running: Running, browser: Browser) -> Iterator[Watched]:
    """The worker's page, whose stream has begun."""
    watched = Watched(browser, address(running.worker), viewport={"width": 1280, "height": 900})
    expect(watched.page.locator("#link")).to_have_text("live", timeout=SECONDS)
    yield watched
    watched.close()
    assert watched.complaints == []


def address(worker: Worker) -> str:
    return f"http://{HOST}:{worker.port}/"


def ask(watched: Watched, user: str) -> None:
    watched.page.get_by_label("Name", exact=True).fill(user)
    watched.page.get_by_role("button", name="Recommend").click()
    expect(watched.page.locator("#list li")).to_have_count(10, timeout=SECONDS)


def test_it_says_how_the_worker_is_and_what_it_knows(running: Running, opened: Watched) -> None:
    page = opened.page
    expect(page.locator("#verdict")).to_have_attribute("data-level", "ok")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^(Up to date|Learning)"))
    journal = running.worker.journal[0]
    cells = page.locator("#journal td")
    expect(cells.nth(3)).to_have_text(f"{journal['users']:,}")
    expect(cells.nth(4)).to_have_text(f"{journal['items']:,}")
    expect(page.locator("#good-says")).to_contain_text("positive ratings, tested just before")
    expect(page.locator(".plot canvas")).to_have_count(4)


def test_it_moves(running: Running, opened: Watched) -> None:
    page = opened.page
    events = page.locator("#journal td").nth(5)
    before = events.text_content() or ""
    produce(running.kafka, running.topics.ratings, [rating(f"u{number}", "i1", 5) for number in range(50)])
    expect(events).not_to_have_text(before, timeout=SECONDS)
    expect(page.locator("#just-ratings li").first).to_contain_text("rated 5: i1", timeout=SECONDS)


def test_a_rating_changes_the_list(running: Running, opened: Watched) -> None:
    page = opened.page
    ask(opened, "u7")
    names = page.locator("#list .name")
    first = names.first.text_content() or ""
    rated = page.locator("#liked-title").text_content() or ""
    item = first.removeprefix("1. ")
    page.get_by_role("button", name=f"Rate {item} with 5", exact=True).click()
    expect(page.locator("#said")).to_contain_text(f"u7 rated {item} with 5", timeout=SECONDS)
    expect(names.filter(has_text=re.compile(rf"^\d+\. {re.escape(item)}$"))).to_have_count(0)
    expect(page.locator("#liked .name").first).to_have_text(item)
    expect(page.locator("#liked-title")).not_to_have_text(rated)
    expect(page.locator("#list .mark.new")).not_to_have_count(0)


def test_what_is_like_an_item(opened: Watched) -> None:
    page = opened.page
    page.get_by_label("What to ask with").select_option("item")
    page.get_by_label("Name", exact=True).fill("i1")
    page.get_by_role("button", name="Recommend").click()
    expect(page.locator("#list-title")).to_have_text("Most like i1", timeout=SECONDS)
    expect(page.locator("#list li")).to_have_count(10)
    expect(page.locator("#list button")).to_have_count(0)
    page.get_by_label("What to ask with").select_option("user")
    ask(opened, "u5")
    expect(page.locator("#list button")).not_to_have_count(0)


def test_items_are_found_by_their_titles(opened: Watched) -> None:
    page = opened.page
    page.get_by_label("What to ask with").select_option("item")
    field = page.get_by_label("Name", exact=True)
    field.press_sequentially("two")
    expect(page.locator("#found option")).to_have_text(TITLE, timeout=SECONDS)
    field.fill(page.locator("#found option").get_attribute("value") or "")
    field.press("Enter")
    expect(page.locator("#list-title")).to_have_text(f"Most like {TITLE}", timeout=SECONDS)


def test_only_of_a_category(opened: Watched) -> None:
    page = opened.page
    ask(opened, "somebody new")
    page.get_by_label("Only of a category").select_option("even")
    expect(page.locator("#list .name")).to_have_count(2, timeout=SECONDS)
    shown = page.locator("#list .name").all_text_contents()
    assert {each.partition(". ")[2] for each in shown} == {TITLE, "i4"}


def test_the_keyboard_is_enough(opened: Watched) -> None:
    page = opened.page
    field = page.get_by_label("Name", exact=True)
    field.focus()
    page.keyboard.type("u9")
    page.keyboard.press("Enter")
    expect(page.locator("#list li")).to_have_count(10, timeout=SECONDS)
    page.locator("#list button").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("u9 rated", timeout=SECONDS)
    expect(page.locator("#list button").first).to_be_focused()


def test_what_is_hostile_is_text(opened: Watched) -> None:
    page = opened.page
    ask(opened, HOSTILE)
    expect(page.locator("#said")).to_contain_text(HOSTILE)
    expect(page.locator("#liked .name").first).to_have_text(HOSTILE_ITEM)
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "Recommender"


def test_a_dead_letter_is_shown_with_its_sentence(running: Running, opened: Watched) -> None:
    produce(running.kafka, running.topics.ratings, [b'{"user": "<b>", "item": 1, "rating": 77}'])
    letter = opened.page.locator("#letters li").first
    expect(letter).to_contain_text(f"{running.topics.ratings}[0] offset", timeout=SECONDS)
    expect(letter).to_contain_text("rating")
    expect(opened.page.locator("#count-rejected")).to_have_text("1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_for_everybody(running: Running, browser: Browser, scheme: str) -> None:
    watched = Watched(
        browser,
        address(running.worker),
        viewport={"width": 360, "height": 740},
        color_scheme=scheme,
        reduced_motion="reduce",  # a colour that is on its way is no colour
        bypass_csp=True,  # axe-core comes from the test
    )
    try:
        expect(watched.page.locator("#link")).to_have_text("live", timeout=SECONDS)
        ask(watched, "u3")
        watched.page.locator("summary").click()
        assert violations(watched.page) == []
        assert watched.page.evaluate("document.documentElement.scrollWidth") == 360
    finally:
        watched.close()


@contextmanager
def got(worker: Worker, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
    """The answer to a call."""
    connection = http.client.HTTPConnection(HOST, worker.port, timeout=10)
    with closing(connection):
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as answer:
            yield answer


def test_its_policy_lets_nothing_foreign_in(running: Running) -> None:
    for path in ("/", "/static/live.js", "/static/live.css", "/static/missing.js"):
        with got(running.worker, path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.status == (404 if "missing" in path else 200)


def test_a_page_that_only_pretends_to_be_this_machine_sees_no_persons(running: Running) -> None:
    with got(running.worker, "/live/history?user=u7", Host="shop.example.com") as answer:
        assert answer.status == 403
    with got(running.worker, "/live/history?user=u7") as answer:
        assert json.loads(answer.read())["known"] is True


def test_a_page_outlives_its_worker(running: Running, browser: Browser) -> None:
    """Whoever kills the worker, and is refused meanwhile, is told so in the console: that is no complaint."""
    watched = Watched(browser, address(running.worker), viewport={"width": 1280, "height": 900})
    try:
        link, says = watched.page.locator("#link"), watched.page.locator("#says")
        expect(link).to_have_text("live", timeout=SECONDS)
        running.worker.kill()
        expect(says).to_contain_text("The worker does not answer", timeout=SECONDS)
        expect(watched.page.locator("#main")).to_have_class("stale")
        running.worker.start().ready()
        expect(link).to_have_text("live", timeout=SECONDS)
        expect(says).to_have_text(re.compile("^(Up to date|Learning)"), timeout=SECONDS)
        assert not [each for each in watched.complaints if "net::ERR_" not in each]
    finally:
        watched.close()


def test_streams_are_bounded_and_do_not_hold_up_the_end(running: Running) -> None:
    with ExitStack() as stack:

        def opened() -> http.client.HTTPResponse | None:
            """A stream; None if there are as many as may be, as while those of closed pages are noticed."""
            answer = stack.enter_context(got(running.worker, "/live"))
            return answer if answer.status == 200 else None

        streams = [wait_until(opened) for _ in range(20)]
        with got(running.worker, "/live") as refused:
            assert refused.status == 503
        wait_until(lambda: streams[0].readline().startswith(b"data"))
        started = time.monotonic()
        running.worker.send_signal(signal.SIGTERM)
        assert running.worker.exit_code() == 0, running.worker.log
        assert time.monotonic() - started < 10.0

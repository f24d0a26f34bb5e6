"""A browser for tests: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

AXE = Path(__file__).with_name("axe") / "axe.min.js"
#: Where Debian and Ubuntu, other systems, and Google have it.
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
MISSING = "chromium is missing: `make tools` installs it, as does `apt install chromium`"


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser without a window."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, MISSING
    with sync_playwright() as playwright:
        # Whoever runs tests as root, as in a container, has no sandbox.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page, and what it should not do: complain, or ask anybody but its own worker.

    Parameters
    ----------
    browser : Browser
    url : str
    **context
        Playwright's options of a context.
    """

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        self.url = url
        self.complaints: list[str] = []
        self._context = browser.new_context(**context)
        self.page: Page = self._context.new_page()
        self.page.on("console", lambda message: self._said(message.type, message.text))
        self.page.on("pageerror", lambda error: self._said("error", str(error)))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.goto(url)

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def _asked(self, url: str) -> None:
        if not url.startswith(self.url):
            self.complaints.append(f"asked {url}")

    def close(self) -> None:
        """Close it."""
        self._context.close()


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong for people who do not see or use a mouse. The page must bypass its policy."""
    page.add_script_tag(path=str(AXE))
    found: Any = page.evaluate("async () => (await axe.run(document)).violations")
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]

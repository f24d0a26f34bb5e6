"""Take the documents' pictures of the live page while `make up` runs: ``python -m tests.pictures FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from recommender.settings import Settings
from tests.support.browser import browsing

WIDTH, PHONE, HEIGHT = 1280, 360, 960
#: The user of the pictures, who has rated some hundreds of films.
USER = "276"
PATIENCE = 30_000
#: So few colours make a small file, and of these pages no other picture.
COLOURS = 128


def tried(page: Page) -> None:
    """Ask for a user, and rate something of the list."""
    page.get_by_label("Name", exact=True).fill(USER)
    page.get_by_role("button", name="Recommend").click()
    expect(page.locator("#list li")).to_have_count(10, timeout=PATIENCE)
    page.locator("#list li").nth(3).get_by_role("button", name="with 5").click()
    expect(page.locator("#said")).to_contain_text("with 5", timeout=PATIENCE)
    page.wait_for_timeout(1500)  # until what moves has moved
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")


def shrink(path: Path) -> None:
    """Write a picture again with few colours."""
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def save(page: Page, path: Path, *, full_page: bool = False) -> None:
    """Write a picture of a page, or of what of it is in the window."""
    page.screenshot(path=path, full_page=full_page)
    shrink(path)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def main(folder: Path, url: str) -> None:
    """Take them: the whole page, light and dark, and what a window and a telephone show first."""
    folder.mkdir(parents=True, exist_ok=True)
    with browsing() as browser:
        for name, width in (("light", WIDTH), ("dark", WIDTH), ("phone", PHONE)):
            context = browser.new_context(
                viewport={"width": width, "height": HEIGHT},
                color_scheme="light" if name == "light" else "dark",
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.goto(url)
            expect(page.locator("#link")).to_have_text("live", timeout=PATIENCE)
            page.wait_for_timeout(4000)  # until the newest ratings and answers fill their lists
            if width == WIDTH:
                tried(page)
            save(page, folder / f"live-{name}.png", full_page=width == WIDTH)
            if name == "light":
                save(page, folder / "live-top.png")
            context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), f"http://127.0.0.1:{Settings().web_port}/")

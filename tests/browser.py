"""A page as Chromium shows it: what it became, what it complained of and what it asked for."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium binary is installed")
SETTLED = 300  # milliseconds after which plots that came into view are drawn


@dataclass
class Opened:
    """A page in a browser.

    Attributes:
        page: Playwright's page.
        complaints: The console's lines, and errors that no script caught.
        asked: Addresses that it asked for, but its own.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def scroll_through(self) -> None:
        """Brings every part of the page into view, as a reader does."""
        height = self.page.evaluate("document.documentElement.scrollHeight")
        for top in range(0, height, 700):
            self.page.evaluate(f"window.scrollTo(0, {top})")
            self.page.wait_for_timeout(60)
        self.page.wait_for_timeout(SETTLED)


@contextmanager
def opened(file: Path, *, width: int = 1280, dark: bool = False) -> Iterator[Opened]:
    """The page in real Chromium, of a width in pixels and in one of the two themes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
            )
            found = Opened(context.new_page())
            found.page.on("console", lambda message: found.complaints.append(message.text))
            found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
            found.page.on("request", lambda request: _note(found.asked, request.url))
            found.page.goto(file.as_uri())
            found.page.wait_for_timeout(SETTLED)
            yield found
        finally:
            browser.close()


def _note(asked: list[str], url: str) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        asked.append(url)

"""Finds the browser for the page tests.

python tests/browser.py    prints its path, or how to get one and exits with code 1
"""

import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from playwright.sync_api import Error, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


class NoBrowser(LookupError):
    """No browser on this machine starts. The message says how to get one."""


@cache
def find_browser() -> str | None:
    """Return the path of a browser that starts, or None for Playwright's own.

    Use it as `playwright.chromium.launch(executable_path=find_browser())`.

    Raises:
        NoBrowser: There is none. Page tests then fail; they are never skipped.
    """
    with sync_playwright() as playwright:
        for path in _candidates(playwright):
            if _starts(playwright, path):
                return path
    raise NoBrowser("No Chromium starts here. Get one with: python3 tools/setup.py --browser")


def _candidates(playwright: Playwright) -> Iterator[str | None]:
    """Yield possible browsers: those on the PATH first, then Playwright's download."""
    yield from filter(None, map(shutil.which, NAMES))
    if Path(playwright.chromium.executable_path).exists():
        yield None


def _starts(playwright: Playwright, path: str | None) -> bool:
    """Return whether it opens a page. A program on the PATH may be a stub that only prints advice."""
    try:
        browser = playwright.chromium.launch(executable_path=path)
        browser.new_page()
        browser.close()
    except Error:
        return False
    return True


if __name__ == "__main__":
    try:
        print(find_browser() or "Playwright's own")
    except NoBrowser as error:
        sys.exit(str(error))

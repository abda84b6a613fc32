"""The browser that the page tests drive: searched for in one place, here.

python tests/browser.py    names it, or tells how to get one and exits 1
"""

import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from playwright.sync_api import Error, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


class NoBrowser(LookupError):
    """No browser here starts; the message says how to get one."""


@cache
def find_browser() -> str | None:
    """Answer the path of a browser that starts, None meaning Playwright's own.

    Use it as `playwright.chromium.launch(executable_path=find_browser())`. It raises
    NoBrowser when there is none: page tests fail then, they are never skipped.
    """
    with sync_playwright() as playwright:
        for path in _candidates(playwright):
            if _starts(playwright, path):
                return path
    raise NoBrowser("no Chromium that starts; get one with: python3 tools/setup.py --browser")


def _candidates(playwright: Playwright) -> Iterator[str | None]:
    """Yield what might serve: browsers on the PATH first, then Playwright's download."""
    yield from filter(None, map(shutil.which, NAMES))
    if Path(playwright.chromium.executable_path).exists():
        yield None


def _starts(playwright: Playwright, path: str | None) -> bool:
    """Tell whether it opens a page: a name on the PATH may be a stub that only gives advice."""
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

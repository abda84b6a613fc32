"""What the browser has to download before a page is interactive."""

from __future__ import annotations

import gzip
import re

import pytest

from billing_app.server.page_build import ensure_built

KILOBYTES_MAX = 200


@pytest.fixture(scope="module")
def pages() -> dict[str, set[str]]:
    """Return the scripts that each built page loads before it is interactive."""
    client = ensure_built().path / "build" / "client"
    found = {}
    for page in client.rglob("*.html"):
        names = re.findall(r'"/((?:assets|js)/[^"]+\.js)"', page.read_text())
        found[str(page.relative_to(client))] = set(names)
    return found


def test_javascript_before_any_page_is_interactive_is_below_the_limit(pages: dict[str, set[str]]) -> None:
    client = ensure_built().path / "build" / "client"
    assert {"index.html", "customers/index.html", "login/index.html"} <= pages.keys()
    for page, names in pages.items():
        size = sum(len(gzip.compress((client / name).read_bytes())) for name in names)
        assert 50_000 < size <= KILOBYTES_MAX * 1000, f"{page}: {size} bytes"


def test_first_page_does_not_load_the_chart_library(pages: dict[str, set[str]]) -> None:
    client = ensure_built().path / "build" / "client"
    content = "".join((client / name).read_text() for name in pages["index.html"])
    assert "recharts-" not in content
    assert any("recharts-" in script.read_text() for script in (client / "assets").glob("*.js"))

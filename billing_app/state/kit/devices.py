"""What a person calls the program that they signed in with."""

from __future__ import annotations

_PRODUCT_MAX = 40
# The first that is found: most browsers name those that they want to be taken for as well.
_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def device(user_agent: str) -> str:
    """`Chrome on macOS`; for what is no browser its own first word, such as `curl`."""
    browser = _first(_BROWSERS, user_agent)
    system = _first(_SYSTEMS, user_agent)
    if browser:
        return f"{browser} on {system}" if system else browser
    return user_agent.partition("/")[0].strip()[:_PRODUCT_MAX] or "Unknown"


def _first(names: tuple[tuple[str, str], ...], user_agent: str) -> str:
    return next((name for mark, name in names if mark in user_agent), "")

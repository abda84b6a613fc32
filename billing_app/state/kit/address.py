"""Read and build the addresses of pages, which contain the filters and the position in a list.

Addresses come from browsers and can contain anything. Services parse the values.
"""

from __future__ import annotations

from urllib.parse import quote, unquote, urlencode

import reflex as rx

# A trail has the cursors of all pages from the second one to the current one. "Previous" drops the last.
_SEPARATOR = "~"
TRAIL_MAX = 20


def path_segment(state: rx.State, index: int) -> str:
    """Return a segment of the path: 1 of `/customers/acme` is `acme`. Empty if there is none."""
    parts = str(state.router.url.path).strip("/").split("/")
    return unquote(parts[index]) if index < len(parts) else ""


def query_parameter(state: rx.State, name: str) -> str:
    """Return a query parameter; empty if it is missing."""
    return str(state.router.url.query_parameters.get(name, ""))


def link(path: str, **parameters: str) -> str:
    """Build an address from a path and the parameters that are not empty."""
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"{quote(path)}?{query}" if query else quote(path)


def cursor_of(trail: str) -> str | None:
    """Return the cursor of the page that a trail leads to; None for the first page."""
    return trail.rpartition(_SEPARATOR)[2] or None


def next_trail(trail: str, next_cursor: str | None) -> str:
    """Return the trail of the next page; empty if there is none."""
    if not next_cursor:
        return ""
    steps = [step for step in trail.split(_SEPARATOR) if step]
    return _SEPARATOR.join([*steps, next_cursor][-TRAIL_MAX:])


def previous_trail(trail: str) -> str:
    """Return the trail of the previous page; empty for the first page."""
    return trail.rpartition(_SEPARATOR)[0]

"""Reading the page's address and writing it: where filters and pages live.

What is read comes from the browser; it is only ever handed to services, which parse it.
"""

from __future__ import annotations

from urllib.parse import quote, unquote, urlencode

import reflex as rx

# Cursors of the pages before this one, the oldest first; `Previous` drops the last.
_SEPARATOR = "~"
TRAIL_MAX = 20


def path_segment(state: rx.State, index: int) -> str:
    """A part of the path: of `/customers/acme`, 1 is `acme`. Empty when it is not there."""
    parts = str(state.router.url.path).strip("/").split("/")
    return unquote(parts[index]) if index < len(parts) else ""


def query_parameter(state: rx.State, name: str) -> str:
    """A parameter of the query, empty when it is not there."""
    return str(state.router.url.query_parameters.get(name, ""))


def link(path: str, **parameters: str) -> str:
    """A path with the parameters that are not empty."""
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"{quote(path)}?{query}" if query else quote(path)


def cursor_of(trail: str) -> str | None:
    """The cursor of the page that a trail leads to; None for the first page."""
    return trail.rpartition(_SEPARATOR)[2] or None


def next_trail(trail: str, next_cursor: str | None) -> str:
    """The trail of the next page, empty when there is none."""
    if not next_cursor:
        return ""
    steps = [step for step in trail.split(_SEPARATOR) if step]
    return _SEPARATOR.join([*steps, next_cursor][-TRAIL_MAX:])


def previous_trail(trail: str) -> str:
    """The trail of the page before, empty for the first."""
    return trail.rpartition(_SEPARATOR)[0]

"""What a handler may have the browser do: one call of a function of assets/app.js."""

from __future__ import annotations

import json
from typing import Any

import reflex as rx
from reflex.event import EventSpec


def run_in_browser(function: str, *arguments: Any) -> EventSpec:
    """The event that calls `tallybook.<function>` with these arguments, as JSON."""
    called: EventSpec = rx.call_script(f"tallybook.{function}({', '.join(map(json.dumps, arguments))})")
    return called

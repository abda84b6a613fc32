"""Calls of the functions in assets/js from a handler."""

from __future__ import annotations

import json
from typing import Any

import reflex as rx
from reflex.event import EventSpec


def run_in_browser(function: str, *arguments: Any) -> EventSpec:
    """Create the event that calls `tallybook.<function>` with these arguments, as JSON."""
    event: EventSpec = rx.call_script(f"tallybook.{function}({', '.join(map(json.dumps, arguments))})")
    return event

"""Meters as their page shows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MeterItem:
    """A meter with its usage this month. `usage` is empty before the first count."""

    code: str = ""
    name: str = ""
    event_type: str = ""
    takes_other_types: bool = False
    aggregation: str = ""
    usage: str = ""
    usage_href: str = ""
    is_default: bool = False
    is_archived: bool = False

"""Rows of invoice runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunItem:
    """A month's run for everyone: how far it is, and what came of it."""

    run: str = ""
    href: str = ""
    period: str = ""
    status: str = ""
    dealt: int = 0
    total: int = 0
    caption: str = ""
    made: str = ""
    existing: str = ""
    passed: str = ""
    failed: str = ""
    has_failed: bool = False
    fault: str = ""
    started: str = ""
    started_utc: str = ""
    started_by: str = ""


@dataclass(frozen=True)
class FailureItem:
    """A customer that a run could not invoice, and why."""

    customer: str = ""
    customer_href: str = ""
    reason: str = ""

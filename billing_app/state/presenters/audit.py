"""Rows of the audit log."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Detail:
    """One thing that an entry tells: its name and its value, both for people."""

    name: str = ""
    value: str = ""


@dataclass(frozen=True)
class AuditItem:
    """Who did what, when, on what. The hrefs are empty where there is nothing to lead to."""

    action: str = ""
    actor: str = ""
    actor_note: str = ""
    actor_href: str = ""
    subject: str = ""
    subject_href: str = ""
    subject_only_href: str = ""
    at: str = ""
    at_utc: str = ""
    details: list[Detail] = field(default_factory=list)

"""Rows of the audit log."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Detail:
    """One detail of an entry: its name and its value."""

    name: str = ""
    value: str = ""


@dataclass(frozen=True)
class AuditItem:
    """An entry of the audit log. Links are empty where there is no page to link to."""

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

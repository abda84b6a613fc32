"""What the dashboard shows, in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A number: `lead` is large, `others` are those of the other currencies."""

    lead: str = ""
    others: str = ""
    caption: str = ""
    href: str = ""
    is_alarming: bool = False


@dataclass(frozen=True)
class Choice:
    """A currency that the dashboard can be read in."""

    text: str = ""
    href: str = ""
    is_here: bool = False


@dataclass(frozen=True)
class AgeItem:
    """What is owed of one age; `share` is the length of its bar, in hundredths of the longest."""

    label: str = ""
    href: str = ""
    amount: str = ""
    invoices: str = ""
    share: int = 0
    is_overdue: bool = False


@dataclass(frozen=True)
class LargestItem:
    """A customer by what was invoiced to it; `share` as of an age."""

    place: str = ""
    name: str = ""
    href: str = ""
    amount: str = ""
    share: int = 0

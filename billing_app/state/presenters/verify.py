"""What a verification found, in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """The last verification: `outcome` is `agrees`, `differs` or `` (none yet)."""

    outcome: str = ""
    title: str = ""
    by: str = ""
    at: str = ""
    at_utc: str = ""
    took: str = ""


@dataclass(frozen=True)
class Check:
    """One thing that was checked: how many, and what came out. `mark` is `good`, `bad`, or empty where
    the differences have to tell."""

    title: str = ""
    count: str = ""
    explanation: str = ""
    outcome: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Difference:
    """One difference; `href` leads to the invoice or the customer that it is of, if to any."""

    subject: str = ""
    href: str = ""
    what: str = ""


@dataclass(frozen=True)
class Awaiting:
    """A closed month of a customer that has no invoice yet."""

    customer: str = ""
    href: str = ""
    month: str = ""


@dataclass(frozen=True)
class Running:
    """The verification under way: `done` of `total`, as numbers for the bar and as words."""

    done: int = 0
    total: int = 1
    caption: str = ""
    by: str = ""

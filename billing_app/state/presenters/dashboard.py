"""Figures, ages and customers as the dashboard shows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A figure. `lead` is shown large, `others` has the unit or the amounts in other currencies.

    `label` is the title of the card if it is not always the same. `is_long` reduces the font size of a figure with many digits, so that it fits its card.
    """

    label: str = ""
    lead: str = ""
    others: str = ""
    caption: str = ""
    href: str = ""
    is_alarming: bool = False
    is_long: bool = False


@dataclass(frozen=True)
class Choice:
    """A currency that the dashboard can be shown in."""

    text: str = ""
    href: str = ""
    is_here: bool = False


@dataclass(frozen=True)
class AgeItem:
    """Outstanding invoices of one age. `share` is the length of the bar, in percent of the longest one."""

    label: str = ""
    href: str = ""
    amount: str = ""
    invoices: str = ""
    share: int = 0
    is_overdue: bool = False


@dataclass(frozen=True)
class LargestItem:
    """A customer with its invoiced amount. `share` is the length of the bar, in percent of the longest one."""

    place: str = ""
    name: str = ""
    href: str = ""
    amount: str = ""
    share: int = 0

"""Discounts, one-off items and credit as a customer's page shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from billing_app.domain.discounts import AppliesTo
from billing_app.domain.exact_amounts import ExactAmount
from billing_app.domain.money import EXACT
from billing_app.services.adjustments.credit_history import CreditEntry
from billing_app.services.adjustments.rows import DiscountRow, OneOffItemRow
from billing_app.state.kit import address, text
from billing_app.state.kit.lists import Pages

APPLIES_TO: dict[AppliesTo, str] = {
    "all": "Monthly price and usage",
    "base": "Monthly price",
    "usage": "Usage",
}
_OFF: dict[AppliesTo, str] = {
    "all": "the monthly price and usage",
    "base": "the monthly price",
    "usage": "usage",
}


@dataclass(frozen=True)
class DiscountItem:
    """A discount. `can_end` is true until its last month is set."""

    number: int = 0
    name: str = ""
    terms: str = ""
    months: str = ""
    can_end: bool = False


@dataclass(frozen=True)
class OneOffEntry:
    """A one-off item, or the reversal of one. `note` says what it reverses, or why it was reversed."""

    item_id: int = 0
    description: str = ""
    date: str = ""
    billed_in: str = ""
    quantity: str = ""
    amount: str = ""
    note: str = ""
    is_reversed: bool = False
    can_reverse: bool = False


@dataclass(frozen=True)
class CreditItem:
    """What gave credit or used it. `refund_id` is 0 unless it is a refund that can be reversed."""

    at: str = ""
    at_utc: str = ""
    what: str = ""
    href: str = ""
    amount: str = ""
    note: str = ""
    is_reversed: bool = False
    refund_id: int = 0


@dataclass(frozen=True)
class Adjustments:
    """A customer's discounts, a page of its one-off items, and its credit with a page of its history."""

    discounts: list[DiscountItem] = field(default_factory=list)
    hidden_discounts: int = 0
    one_off_items: list[OneOffEntry] = field(default_factory=list)
    item_pages: Pages = field(default_factory=Pages)
    credit: str = ""
    has_credit: bool = False
    history: list[CreditItem] = field(default_factory=list)
    history_pages: Pages = field(default_factory=Pages)


def describe_discount(row: DiscountRow) -> str:
    """Write what a discount takes off: `20% off the monthly price and usage`."""
    if row.percent is not None:
        amount = f"{text.quantity(row.percent)}%"
    else:
        assert row.amount_minor is not None
        amount = text.money(row.amount_minor, row.currency)
    return f"{amount} off {_OFF[row.applies_to]}"


def discount_item(row: DiscountRow) -> DiscountItem:
    """Present a discount."""
    return DiscountItem(
        number=row.number,
        name=row.name,
        terms=describe_discount(row),
        months=_describe_months(row),
        can_end=row.last_period is None,
    )


def _describe_months(row: DiscountRow) -> str:
    first, last = text.month(row.first_period), row.last_period
    if last is None:
        return f"From {first}"
    if last < row.first_period:
        return "Never applies"
    return first if last == row.first_period else f"{first} \N{EN DASH} {text.month(last)}"


def one_off_entry(row: OneOffItemRow) -> OneOffEntry:
    """Present a one-off item."""
    exact_amount = ExactAmount(EXACT.multiply(row.quantity, row.unit_price))
    is_reversed = row.reversed_by_item_id is not None
    return OneOffEntry(
        item_id=row.item_id,
        description=row.description,
        date=text.day(row.item_date),
        billed_in=text.month(row.billing_period),
        quantity=""
        if row.quantity == 1
        else f"{text.quantity(row.quantity)} × {text.exact_money(row.unit_price, row.currency)}",
        amount=text.money(exact_amount.rounded(row.currency), row.currency),
        note=f"Reversal: {row.reason}" if row.reverses_item_id is not None else "",
        is_reversed=is_reversed,
        can_reverse=not is_reversed and row.reverses_item_id is None,
    )


def credit_item(entry: CreditEntry, zone: ZoneInfo) -> CreditItem:
    """Present what gave credit or used it, with times in the viewer's zone."""
    is_reversed, is_refund = entry.reversed_at is not None, entry.source == "refund"
    what = {
        "invoice": f"Credit {entry.reference}",
        "payment": f"Applied to {entry.reference}",
        "refund": f"Refund, {entry.reference}" if entry.reference else "Refund",
    }
    amount = text.money(entry.amount_minor, entry.currency)
    return CreditItem(
        at=text.timestamp(entry.at, zone),
        at_utc=text.timestamp_utc(entry.at),
        what=what[entry.source],
        href="" if is_refund else address.link(f"/invoices/{entry.reference}"),
        amount=f"+{amount}" if entry.amount_minor > 0 else amount,
        note=f"Reversed: {entry.reversal_reason}" if is_reversed else "",
        is_reversed=is_reversed,
        refund_id=entry.number if is_refund and not is_reversed else 0,
    )

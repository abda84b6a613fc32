"""What a customer's page shows of its discounts, one-off items and credit."""

from __future__ import annotations

from typing import NamedTuple
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.domain.actor import Actor
from billing_app.domain.money import Amount
from billing_app.services.adjustments import credit, discounts, one_off_items
from billing_app.services.adjustments.credit_history import CreditEntry, list_credit_entries
from billing_app.services.adjustments.rows import DiscountRow, OneOffItemRow
from billing_app.services.shared.pagination import Page
from billing_app.state.kit import address, text
from billing_app.state.kit.lists import Pages
from billing_app.state.kit.session import Session
from billing_app.state.presenters.adjustments import Adjustments, credit_item, discount_item, one_off_entry

DISCOUNTS = 50
ROWS = 10


class Trails(NamedTuple):
    """The pages in the address: of invoices, of one-off items and of the credit's history. And the meter."""

    page: str
    items: str
    credit: str
    meter: str


def read_trails(state: rx.State) -> Trails:
    """Return the pages and the meter in the address of a customer."""
    return Trails(*(address.query_parameter(state, name) for name in Trails._fields))


class AdjustmentsRead(NamedTuple):
    """What the page shows, read in one transaction."""

    discounts: tuple[DiscountRow, ...]
    items: Page[OneOffItemRow]
    credit: Amount
    entries: Page[CreditEntry]


def read_adjustments(session: Session, actor: Actor, key: str, trails: Trails) -> AdjustmentsRead:
    """Read all discounts, and the pages of one-off items and of the credit's history in the address."""
    return AdjustmentsRead(
        discounts=discounts.list_discounts(session, actor, key),
        items=one_off_items.list_items(
            session, actor, key, limit=ROWS, cursor=address.cursor_of(trails.items)
        ),
        credit=credit.get_credit(session, actor, key),
        entries=list_credit_entries(session, actor, key, limit=ROWS, cursor=address.cursor_of(trails.credit)),
    )


def present_adjustments(read: AdjustmentsRead, key: str, trails: Trails, zone: ZoneInfo) -> Adjustments:
    """Present the discounts, one-off items and credit. Of more than 50 discounts, the newest are shown."""
    return Adjustments(
        discounts=[discount_item(row) for row in read.discounts[-DISCOUNTS:]],
        hidden_discounts=max(0, len(read.discounts) - DISCOUNTS),
        one_off_items=[one_off_entry(row) for row in read.items.items],
        item_pages=pages_of(key, trails, "items", read.items.next_cursor),
        credit=text.money(read.credit.amount_minor, read.credit.currency),
        has_credit=read.credit.amount_minor > 0,
        history=[credit_item(entry, zone) for entry in read.entries.items],
        history_pages=pages_of(key, trails, "credit", read.entries.next_cursor),
    )


def pages_of(key: str, trails: Trails, name: str, next_cursor: str | None) -> Pages:
    """Return the links to the pages of one list around the current one. The other lists stay as they are."""
    path, given = f"/customers/{key}", trails._asdict()
    trail = given[name]
    ahead = address.next_trail(trail, next_cursor)
    return Pages(
        address.link(path, **{**given, name: address.previous_trail(trail)}) if trail else "",
        address.link(path, **{**given, name: ahead}) if ahead else "",
    )

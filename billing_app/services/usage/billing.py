"""Where usage is billed: for a page of events, whose they are and on which invoice they are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.services.shared.permissions import require
from billing_app.services.usage.recording import UsageEventRow

Place = tuple[str, date]
"""A customer's key and a billing period."""


class BilledOn(NamedTuple):
    """Whose usage it is, and the number of the invoice that bills it when there is one."""

    customer_name: str
    invoice_number: str | None


def billed_on(session: Session, actor: Actor, events: Iterable[UsageEventRow]) -> dict[Place, BilledOn]:
    """The name and the invoice for each (customer, billing period) of the events, in one statement.

    An event's period never changes and has at most one invoice: what is answered for it stays so.
    """
    require(actor, Permission.READ)
    places = sorted({(event.customer, event.billing_period) for event in events})
    with driver_cursor(session) as db:
        db.execute(
            "SELECT asked.key, asked.period, c.name, i.number"
            " FROM unnest(%(keys)s::text[], %(periods)s::date[]) AS asked (key, period)"
            " JOIN customer c ON lower(c.key) = lower(asked.key)"
            " LEFT JOIN invoice i ON i.customer_id = c.customer_id AND i.period_start = asked.period",
            {"keys": [key for key, _ in places], "periods": [period for _, period in places]},
        )
        return {(key, period): BilledOn(name, number) for key, period, name, number in db}

"""Which invoices bill a page of usage events, or of corrections."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Protocol

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.services.shared.permissions import require

InvoiceNumbers = dict[tuple[int, date], str]
"""Invoice numbers by customer id and billing period."""


class Billed(Protocol):
    """A usage event or a correction."""

    @property
    def customer_id(self) -> int:
        """The number of its customer."""

    @property
    def billing_period(self) -> date:
        """The period that bills it."""


def find_invoice_numbers(session: Session, actor: Actor, events: Iterable[Billed]) -> InvoiceNumbers:
    """Return the number of the invoice for each customer and billing period of the events that has one."""
    require(actor, Permission.READ)
    places = sorted({(event.customer_id, event.billing_period) for event in events})
    with driver_cursor(session) as db:
        db.execute(
            "SELECT i.customer_id, i.period_start, i.number"
            " FROM unnest(%(customer_ids)s::bigint[], %(periods)s::date[]) AS place (customer_id, period)"
            " JOIN invoice i ON i.customer_id = place.customer_id AND i.period_start = place.period",
            {
                "customer_ids": [customer_id for customer_id, _ in places],
                "periods": [period for _, period in places],
            },
        )
        return {(customer_id, period): number for customer_id, period, number in db}

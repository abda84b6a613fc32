"""All that is stored about billing, customer by customer, for a verification.

A stream for each kind of row in the order of customers, merged: memory is bounded by what one
customer has, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import count, groupby
from operator import itemgetter
from typing import Any, NamedTuple

from psycopg.rows import namedtuple_row
from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.invoice import InvoiceContent
from billing_app.domain.periods import next_period
from billing_app.domain.rating import Plan
from billing_app.domain.subscription import in_effect
from billing_app.services.invoices import queries
from billing_app.services.invoices.queries import INVOICE_COLUMNS, LINE_COLUMNS, line_of
from billing_app.services.payments.queries import STANDING_PAYMENTS
from billing_app.services.plans.plan_in_effect import read_plans

STREAM_ROWS = 5_000
_numbers = count()


class UsageSum(NamedTuple):
    """The events of a customer that are used in one month and billed in one period, summed."""

    customer_id: int
    billing_period: date
    usage_period: date
    quantity: Decimal
    events: int


class PlanFrom(NamedTuple):
    """The plan from a month on; None after a cancellation."""

    effective_from: date
    plan: Plan | None


class StoredInvoice(NamedTuple):
    """An invoice as it is stored."""

    sequence: int
    line_count: int
    sha256: str
    content: InvoiceContent


@dataclass(slots=True)
class Account:
    """All that is stored about one customer's billing."""

    customer: Any
    subscriptions: list[PlanFrom]
    usage: list[UsageSum]
    invoices: list[StoredInvoice]
    paid: dict[date, Decimal]
    # What is kept as paid of each invoice that is not paid in full.
    unsettled: dict[date, Decimal]

    @property
    def first(self) -> date:
        """The first month with a plan; the month after all that is settled when there is none."""
        if self.subscriptions:
            return self.subscriptions[0].effective_from
        return next_period(self.customer.settled_through)

    def plan_of(self, month: date) -> Plan | None:
        """Return the plan in effect in a month; None without one."""
        row = in_effect(self.subscriptions, month)
        return row.plan if row else None


def read_accounts(session: Session, on_stray: Callable[[str], None]) -> Iterator[Account]:
    """Every customer with all that is stored, one at a time; `on_stray` is told of rows of none."""
    with driver_cursor(session) as db:
        plans = read_plans(db)
    streams = {
        "subscriptions": _Stream(
            session, "SELECT customer_id, effective_from, plan_id FROM subscription ORDER BY 1, 2"
        ),
        "usage": _Stream(session, _USAGE),
        "lines": _Stream(
            session,
            f"SELECT l.customer_id, l.period_start, {LINE_COLUMNS} FROM invoice_line l"
            " ORDER BY l.customer_id, l.period_start, l.line_number",
        ),
        "invoices": _Stream(
            session, f"SELECT {INVOICE_COLUMNS} FROM invoice i ORDER BY i.customer_id, i.period_start"
        ),
        "paid": _Stream(session, _PAID),
        "open invoices": _Stream(
            session, "SELECT customer_id, period_start, paid_minor FROM open_invoice ORDER BY 1, 2"
        ),
    }
    customers = _stream(
        session,
        "SELECT c.customer_id, c.key, c.currency, b.closed_through, b.settled_through,"
        " b.last_number, b.last_sha256"
        " FROM customer c JOIN customer_billing b USING (customer_id) ORDER BY c.customer_id",
    )
    for customer in customers:
        own = {name: stream.take(customer.customer_id) for name, stream in streams.items()}
        lines = {
            period: tuple(line_of(tuple(row[2:])) for row in rows)
            for period, rows in groupby(own["lines"], itemgetter(1))
        }
        yield Account(
            customer,
            [PlanFrom(row.effective_from, plans.get(row.plan_id)) for row in own["subscriptions"]],
            [UsageSum(*row) for row in own["usage"]],
            [
                StoredInvoice(row.sequence, row.line_count, row.content_sha256,
                        queries.StoredInvoice(*row).content(lines.get(row.period_start, ())))
                for row in own["invoices"]
            ],
            {row.period_start: row.paid_minor for row in own["paid"]},
            {row.period_start: row.paid_minor for row in own["open invoices"]},
        )  # fmt: skip
    for name, stream in streams.items():
        if not stream.ended:
            on_stray(name)


_USAGE = """
    SELECT customer_id, billing_period,
           date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date AS usage_period,
           sum(quantity) AS quantity, count(*) AS events
    FROM usage_event GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

_PAID = f"""
    SELECT customer_id, period_start, sum(amount_minor) AS paid_minor
    FROM {STANDING_PAYMENTS} standing GROUP BY 1, 2 ORDER BY 1, 2
"""


def _stream(session: Session, query: str) -> Iterator[Any]:
    """The rows through a server-side cursor, a few thousand at a time."""
    with driver_cursor(session) as plain:
        connection = plain.connection
    with connection.cursor(f"stream_{next(_numbers)}", row_factory=namedtuple_row) as rows:
        rows.itersize = STREAM_ROWS
        yield from rows.execute(query)


class _Stream:
    """Rows in the order of customers, taken customer by customer."""

    def __init__(self, session: Session, query: str) -> None:
        self._rows = _stream(session, query)
        self._next = next(self._rows, None)

    @property
    def ended(self) -> bool:
        """Whether all rows were taken."""
        return self._next is None

    def take(self, customer_id: int) -> list[Any]:
        """The rows of this customer, which come next if there are any."""
        taken = []
        while self._next is not None and self._next.customer_id == customer_id:
            taken.append(self._next)
            self._next = next(self._rows, None)
        return taken

"""Everything that is stored about billing, customer by customer.

Each kind of row is streamed in the order of customers, and the streams are merged. So memory depends only on
the largest customer, not on the number of customers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import count, groupby
from operator import itemgetter
from typing import Any, NamedTuple

from psycopg.rows import namedtuple_row
from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.days import Segment, segments_in
from billing_app.domain.discounts import Discount
from billing_app.domain.invoice import InvoiceContent, NumberGap
from billing_app.domain.lines import OneOff
from billing_app.domain.periods import next_period
from billing_app.domain.terms import Aggregation, Plan
from billing_app.services.adjustments.queries import DISCOUNT_COLUMNS, StoredDiscount
from billing_app.services.invoices.month_usage import read_aggregations
from billing_app.services.invoices.queries import INVOICE_COLUMNS, LINE_COLUMNS, StoredInvoice, line_of
from billing_app.services.payments.queries import STANDING_PAYMENTS
from billing_app.services.plans.terms import read_plans
from billing_app.services.verification.chain import GapRecord
from billing_app.services.verification.report import CustomerRef

STREAM_ROWS = 5_000
_numbers = count()


class CustomerRange(NamedTuple):
    """Consecutive customer ids, both ends included."""

    first: int
    last: int


ALL_CUSTOMERS = CustomerRange(-(2**63), 2**63 - 1)


class BilledAccount(NamedTuple):
    """A customer with its billing row."""

    customer_id: int
    key: str
    name: str
    currency: str
    closed_through: date
    settled_through: date
    last_number: int
    last_sha256: str | None
    credit_minor: Decimal

    @property
    def ref(self) -> CustomerRef:
        """The reference to the customer in a report."""
        return CustomerRef(self.customer_id, self.key, self.name)


class UsageSum(NamedTuple):
    """A customer's events of one meter that occurred in one month and are billed in one period.

    Corrections of such events have sums of their own, of their differences, with the period that bills them.
    In a month in which the plan changes, there is a sum for each `day`. In the others it is None.
    """

    customer_id: int
    billing_period: date
    usage_period: date
    meter_id: int
    day: date | None
    quantity: Decimal
    largest: Decimal
    events: int
    corrections: int


class Restated(NamedTuple):
    """The quantity of an event as first recorded (`number` 0), or as its correction with this number states.

    Only of the months and meters that do not add up and have a correction.
    """

    customer_id: int
    usage_period: date
    meter_id: int
    idempotency_key: str
    number: int
    item: str | None
    quantity: Decimal
    billing_period: date


class WrongCorrection(NamedTuple):
    """A correction that contradicts its event or the correction before it."""

    customer_id: int
    idempotency_key: str
    number: int


class CountedItem(NamedTuple):
    """One of the different items of a meter in a month, and the first period in which it is billed."""

    customer_id: int
    usage_period: date
    meter_id: int
    item: str
    billing_period: date


class InvoiceRecord(NamedTuple):
    """A stored invoice: what it says, and what is stored about it."""

    sequence: int
    line_count: int
    sha256: str
    content: InvoiceContent


@dataclass(slots=True)
class Account:
    """Everything that is stored about one customer's billing.

    `subscriptions` are the plans by the day from which they are in effect, None after a cancellation.
    `paid` has the sum of payments by period. `unsettled` has the same sums from the table of open invoices,
    which has the invoices that are not paid in full. `credit_taken` was applied to invoices or refunded. `aggregations` are by meter.
    """

    customer: BilledAccount
    subscriptions: list[tuple[date, Plan | None]]
    usage: list[UsageSum]
    items: list[CountedItem]
    restated: list[Restated]
    wrong_corrections: list[WrongCorrection]
    discounts: tuple[Discount, ...]
    one_off_items: dict[date, list[OneOff]]
    invoices: list[InvoiceRecord]
    gaps: list[GapRecord]
    paid: dict[date, Decimal]
    unsettled: dict[date, Decimal]
    credit_taken: Decimal
    aggregations: Mapping[int, Aggregation]

    @property
    def first_month(self) -> date:
        """The first month with a plan, or else the month after the last settled month."""
        if self.subscriptions:
            return self.subscriptions[0][0].replace(day=1)
        return next_period(self.customer.settled_through)

    def items_in(self, period_start: date) -> list[OneOff]:
        """Return the one-off items that are billed in a period."""
        return self.one_off_items.get(period_start, [])

    def segments_in(self, month: date) -> tuple[Segment, ...]:
        """Return the segments of a month, which are none in a month without a plan."""
        return segments_in(month, self.subscriptions)


_IN_RANGE = "customer_id BETWEEN %(first)s AND %(last)s"
_CUSTOMERS = f"""
    SELECT c.customer_id, c.key, c.name, c.currency, b.closed_through, b.settled_through,
           b.last_number, b.last_sha256, b.credit_minor
    FROM customer c JOIN customer_billing b USING (customer_id) WHERE c.{_IN_RANGE} ORDER BY c.customer_id
"""
_SUBSCRIPTIONS = f"""
    SELECT customer_id, effective_from, plan_id FROM subscription WHERE {_IN_RANGE} ORDER BY 1, 2
"""
# Summed in the order of the billing index, and only the sums are sorted. Reading the events in the order of
# customers would look up each one by itself, because no index that has this order has their quantities.
_USAGE = f"""
    WITH divided AS (
        SELECT DISTINCT customer_id, date_trunc('month', effective_from)::date AS month
        FROM subscription WHERE {_IN_RANGE} AND extract(day FROM effective_from) <> 1
    ), sums AS MATERIALIZED (
        SELECT e.billing_period, e.customer_id,
               date_trunc('month', e.occurred_at AT TIME ZONE 'UTC')::date AS usage_period, e.meter_id,
               CASE WHEN d.month IS NOT NULL THEN (e.occurred_at AT TIME ZONE 'UTC')::date END AS day,
               sum(e.quantity) AS quantity, max(e.quantity) AS largest, count(*) AS events
        FROM usage_event e
        LEFT JOIN divided d ON d.customer_id = e.customer_id
         AND d.month = date_trunc('month', e.occurred_at AT TIME ZONE 'UTC')::date
        WHERE e.{_IN_RANGE} GROUP BY 1, 2, 3, 4, 5
    )
    SELECT customer_id, billing_period, usage_period, meter_id, day, quantity, largest, events, 0 AS corrections
    FROM sums
    UNION ALL
    SELECT k.customer_id, k.billing_period, date_trunc('month', k.occurred_at AT TIME ZONE 'UTC')::date,
           k.meter_id, CASE WHEN d.month IS NOT NULL THEN (k.occurred_at AT TIME ZONE 'UTC')::date END,
           sum(k.difference), 0, 0, count(*)
    FROM usage_correction k
    LEFT JOIN divided d ON d.customer_id = k.customer_id
     AND d.month = date_trunc('month', k.occurred_at AT TIME ZONE 'UTC')::date
    WHERE k.{_IN_RANGE} GROUP BY 1, 2, 3, 4, 5
    ORDER BY 1, 2, 3, 4, 5
"""
_RESTATED = f"""
    WITH corrected AS (
        SELECT DISTINCT k.customer_id, date_trunc('month', k.occurred_at AT TIME ZONE 'UTC')::date AS month,
               k.meter_id
        FROM usage_correction k JOIN meter m USING (meter_id)
        WHERE k.{_IN_RANGE} AND m.aggregation <> 'sum'
    )
    SELECT e.customer_id, c.month AS usage_period, e.meter_id, e.idempotency_key, 0 AS number, e.item,
           e.quantity, e.billing_period
    FROM corrected c
    JOIN usage_event e ON e.customer_id = c.customer_id AND e.meter_id = c.meter_id
     AND e.billing_period >= c.month AND e.occurred_at >= c.month::timestamp AT TIME ZONE 'UTC'
     AND e.occurred_at < (c.month + interval '1 month') AT TIME ZONE 'UTC'
    UNION ALL
    SELECT k.customer_id, date_trunc('month', k.occurred_at AT TIME ZONE 'UTC')::date, k.meter_id,
           k.idempotency_key, k.number, NULL, k.quantity, k.billing_period
    FROM usage_correction k JOIN meter m USING (meter_id)
    WHERE k.{_IN_RANGE} AND m.aggregation <> 'sum'
    ORDER BY 1, 2, 3, 4, 5
"""
_WRONG_CORRECTIONS = f"""
    SELECT k.customer_id, k.idempotency_key, k.number
    FROM (
        SELECT own.*, row_number() OVER of_event AS expected_number, lag(own.quantity) OVER of_event AS previous,
               lag(own.billing_period) OVER of_event AS previous_period
        FROM usage_correction own WHERE own.{_IN_RANGE}
        WINDOW of_event AS (PARTITION BY own.customer_id, own.idempotency_key ORDER BY own.number)
    ) k
    LEFT JOIN usage_event e USING (customer_id, idempotency_key)
    WHERE e.customer_id IS NULL OR k.number <> k.expected_number
       OR k.quantity_before <> coalesce(k.previous, e.quantity)
       OR k.difference <> k.quantity - k.quantity_before
       OR k.occurred_at <> e.occurred_at OR k.meter_id <> e.meter_id
       OR k.billing_period < coalesce(k.previous_period, e.billing_period)
    ORDER BY 1, 2, 3
"""
_ITEMS = f"""
    SELECT customer_id, date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date AS usage_period, meter_id,
           item, min(billing_period) AS billing_period
    FROM usage_event WHERE {_IN_RANGE} AND item IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3
"""
_DISCOUNTS = f"SELECT {DISCOUNT_COLUMNS} FROM discount WHERE {_IN_RANGE} ORDER BY customer_id, number"
_ONE_OFF_ITEMS = f"""
    SELECT customer_id, billing_period, idempotency_key, description, item_date, quantity, unit_price
    FROM one_off_item WHERE {_IN_RANGE} ORDER BY customer_id, billing_period, item_date, idempotency_key
"""
_LINES = f"""
    SELECT l.customer_id, l.period_start, {LINE_COLUMNS} FROM invoice_line l WHERE {_IN_RANGE}
    ORDER BY l.customer_id, l.period_start, l.line_number
"""
_INVOICES = f"""
    SELECT {INVOICE_COLUMNS} FROM invoice i WHERE {_IN_RANGE} ORDER BY i.customer_id, i.period_start
"""
_GAPS = f"""
    SELECT customer_id, first_sequence, last_sequence, backup_of, recorded_at, previous_sha256, content_sha256
    FROM number_gap WHERE {_IN_RANGE} ORDER BY 1, 2
"""
_PAID = f"""
    SELECT customer_id, period_start, sum(amount_minor) AS paid_minor
    FROM {STANDING_PAYMENTS} standing WHERE {_IN_RANGE} GROUP BY 1, 2 ORDER BY 1, 2
"""
# What was applied to invoices or refunded, less reversals.
_CREDIT_TAKEN = f"""
    SELECT customer_id, sum(amount_minor) AS amount_minor FROM (
        SELECT p.customer_id, p.amount_minor FROM payment p
        WHERE p.source = 'credit' AND p.{_IN_RANGE} AND NOT EXISTS (
            SELECT FROM payment_reversal r
            WHERE r.customer_id = p.customer_id AND r.payment_id = p.payment_id
        )
        UNION ALL
        SELECT f.customer_id, f.amount_minor FROM refund f
        WHERE f.{_IN_RANGE} AND NOT EXISTS (
            SELECT FROM refund_reversal r WHERE r.customer_id = f.customer_id AND r.refund_id = f.refund_id
        )
    ) taken GROUP BY 1 ORDER BY 1
"""
_OPEN_INVOICES = f"""
    SELECT customer_id, period_start, paid_minor FROM open_invoice WHERE {_IN_RANGE} ORDER BY 1, 2
"""

# By the name of the rows in a report.
_QUERIES = {
    "subscriptions": _SUBSCRIPTIONS,
    "usage events": _USAGE,
    "items": _ITEMS,
    "restated events": _RESTATED,
    "corrections": _WRONG_CORRECTIONS,
    "discounts": _DISCOUNTS,
    "one-off items": _ONE_OFF_ITEMS,
    "invoice lines": _LINES,
    "invoices": _INVOICES,
    "number gaps": _GAPS,
    "payments": _PAID,
    "open invoices": _OPEN_INVOICES,
    "refunds": _CREDIT_TAKEN,
}


def split_customers(session: Session, parts: int, *, at_least: int) -> list[CustomerRange]:
    """Split all customer ids, used or not, into ranges with about as many customers each.

    There is only one range if each of them would have fewer customers than `at_least`.
    """
    with driver_cursor(session) as db:
        db.execute(
            "SELECT max(customer_id) FROM ("
            "    SELECT customer_id, ntile(%(parts)s) OVER (ORDER BY customer_id) AS part FROM customer"
            ") split WHERE part < %(parts)s AND (SELECT count(*) FROM customer) >= %(customers)s"
            " GROUP BY part ORDER BY part",
            {"parts": parts, "customers": parts * at_least},
        )
        ends = [last for (last,) in db]
    firsts = [ALL_CUSTOMERS.first, *(end + 1 for end in ends)]
    return [CustomerRange(*each) for each in zip(firsts, [*ends, ALL_CUSTOMERS.last], strict=True)]


def read_accounts(
    session: Session, customers: CustomerRange, on_rows_without_customer: Callable[[str], None]
) -> Iterator[Account]:
    """Yield the account of every customer in the range, in the order of their ids.

    After the last one, calls `on_rows_without_customer` for each kind of row that has rows without a
    customer.
    """
    with driver_cursor(session) as db:
        plans, aggregations = read_plans(db), read_aggregations(db)
    streams = {name: _CustomerStream(session, query, customers) for name, query in _QUERIES.items()}
    for row in _stream(session, _CUSTOMERS, customers):
        customer = BilledAccount(*row)
        own = {name: stream.take(customer.customer_id) for name, stream in streams.items()}
        lines = {
            period: tuple(line_of(tuple(line[2:])) for line in rows)
            for period, rows in groupby(own["invoice lines"], itemgetter(1))
        }
        yield Account(
            customer=customer,
            subscriptions=[(each.effective_from, plans.get(each.plan_id)) for each in own["subscriptions"]],
            usage=[UsageSum(*each) for each in own["usage events"]],
            items=[CountedItem(*each) for each in own["items"]],
            restated=[Restated(*each) for each in own["restated events"]],
            wrong_corrections=[WrongCorrection(*each) for each in own["corrections"]],
            discounts=tuple(StoredDiscount(*each).terms() for each in own["discounts"]),
            one_off_items={
                period: [OneOff(*item[2:]) for item in rows]
                for period, rows in groupby(own["one-off items"], itemgetter(1))
            },
            invoices=[
                InvoiceRecord(
                    sequence=each.sequence,
                    line_count=each.line_count,
                    sha256=each.content_sha256,
                    content=StoredInvoice(*each).content(lines.get(each.period_start, ())),
                )
                for each in own["invoices"]
            ],
            gaps=[GapRecord(NumberGap(customer.key, *gap), sha256) for _, *gap, sha256 in own["number gaps"]],
            paid={each.period_start: each.paid_minor for each in own["payments"]},
            unsettled={each.period_start: each.paid_minor for each in own["open invoices"]},
            credit_taken=sum((each.amount_minor for each in own["refunds"]), Decimal(0)),
            aggregations=aggregations,
        )
    for name, stream in streams.items():
        if stream.has_rows_without_customer or not stream.is_exhausted:
            on_rows_without_customer(name)


def _stream(session: Session, query: str, customers: CustomerRange) -> Iterator[Any]:
    """Yield the rows through a server-side cursor, a few thousand at a time."""
    with driver_cursor(session) as plain:
        connection = plain.connection
    with connection.cursor(f"stream_{next(_numbers)}", row_factory=namedtuple_row) as rows:
        rows.itersize = STREAM_ROWS
        yield from rows.execute(query, customers._asdict())


class _CustomerStream:
    """A stream of rows in the order of customers, read one customer at a time."""

    def __init__(self, session: Session, query: str, customers: CustomerRange) -> None:
        self._rows = _stream(session, query, customers)
        self._next = next(self._rows, None)
        self.has_rows_without_customer = False

    @property
    def is_exhausted(self) -> bool:
        """Whether all rows have been read."""
        return self._next is None

    def take(self, customer_id: int) -> list[Any]:
        """Return the rows of this customer. Customers must be requested in order."""
        while self._next is not None and self._next.customer_id < customer_id:
            self.has_rows_without_customer = True
            self._next = next(self._rows, None)
        taken = []
        while self._next is not None and self._next.customer_id == customer_id:
            taken.append(self._next)
            self._next = next(self._rows, None)
        return taken

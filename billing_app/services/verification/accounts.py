"""Everything that is stored about billing, customer by customer.

Each kind of row is streamed in the order of customers, and the streams are merged. So memory depends only on
the largest customer, not on the number of customers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from billing_app.services.adjustments.queries import StoredDiscount
from billing_app.services.invoices.month_usage import read_aggregations
from billing_app.services.invoices.queries import StoredInvoice, line_of
from billing_app.services.plans.terms import read_plans
from billing_app.services.verification.account_queries import CUSTOMERS, QUERIES
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
    In a month in which the plan changes, there is a sum for each `day`. In the others it is None. `used` is
    the number of events with a quantity, and what corrections to zero, or from zero, change of it.
    """

    customer_id: int
    billing_period: date
    usage_period: date
    meter_id: int
    day: date | None
    quantity: Decimal
    largest: Decimal
    events: int
    used: int
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
    """One of the different items of a meter in a month: its events, and the first period in which it is billed."""

    customer_id: int
    usage_period: date
    meter_id: int
    item: str
    billing_period: date
    events: int


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
    which has the invoices that are not paid in full. `credit_taken` was applied to invoices or refunded.
    `aggregations` are by meter. `misplaced_events` are those of a meter that doesn't exist, which are in no
    sum, and those that name an item, or none, against the rule of their meter.
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
    misplaced_events: int

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
    streams = {name: _CustomerStream(session, query, customers) for name, query in QUERIES.items()}
    for row in _stream(session, CUSTOMERS, customers):
        own = {name: stream.take(row.customer_id) for name, stream in streams.items()}
        yield _account(BilledAccount(*row), own, plans, aggregations)
    for name, stream in streams.items():
        if stream.has_rows_without_customer or not stream.is_exhausted:
            on_rows_without_customer(name)


def _account(
    customer: BilledAccount,
    own: Mapping[str, list[Any]],
    plans: Mapping[int, Plan],
    aggregations: Mapping[int, Aggregation],
) -> Account:
    """Build a customer's account from its rows, by the names of their queries."""
    usage = [UsageSum(*each) for each in own["usage events"]]
    items = [CountedItem(*each) for each in own["items"]]
    return Account(
        customer=customer,
        subscriptions=[(each.effective_from, plans.get(each.plan_id)) for each in own["subscriptions"]],
        usage=[each for each in usage if each.meter_id in aggregations],
        items=items,
        restated=[Restated(*each) for each in own["restated events"]],
        wrong_corrections=[WrongCorrection(*each) for each in own["corrections"]],
        discounts=tuple(StoredDiscount(*each).terms() for each in own["discounts"]),
        one_off_items={
            period: [OneOff(*item[2:]) for item in rows]
            for period, rows in groupby(own["one-off items"], itemgetter(1))
        },
        invoices=_invoices(own),
        gaps=[GapRecord(NumberGap(customer.key, *gap), sha256) for _, *gap, sha256 in own["number gaps"]],
        paid={each.period_start: each.paid_minor for each in own["payments"]},
        unsettled={each.period_start: each.paid_minor for each in own["open invoices"]},
        credit_taken=sum((each.amount_minor for each in own["refunds"]), Decimal(0)),
        aggregations=aggregations,
        misplaced_events=_count_misplaced(usage, items, aggregations),
    )


def _invoices(own: Mapping[str, list[Any]]) -> list[InvoiceRecord]:
    lines = {
        period: tuple(line_of(tuple(line[2:])) for line in rows)
        for period, rows in groupby(own["invoice lines"], itemgetter(1))
    }
    return [
        InvoiceRecord(
            sequence=each.sequence,
            line_count=each.line_count,
            sha256=each.content_sha256,
            content=StoredInvoice(*each).content(lines.get(each.period_start, ())),
        )
        for each in own["invoices"]
    ]


def _count_misplaced(
    usage: Sequence[UsageSum], items: Sequence[CountedItem], aggregations: Mapping[int, Aggregation]
) -> int:
    misplaced = 0
    for meter_id in {each.meter_id for each in usage}:
        with_item = sum(each.events for each in items if each.meter_id == meter_id)
        events = sum(each.events for each in usage if each.meter_id == meter_id)
        match aggregations.get(meter_id):
            case None:
                misplaced += events
            case "unique":
                misplaced += events - with_item
            case _:
                misplaced += with_item
    return misplaced


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

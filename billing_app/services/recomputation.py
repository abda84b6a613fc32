"""The proof: everything recomputed from events, plans and payments, and compared.

Reads in the order of customers, a stream for each kind of row, merged; so memory is bounded by
what one customer has, however many there are. Nothing here trusts what an invoice says about
itself: quantities come from the events, terms from plans and subscriptions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import count, groupby
from operator import itemgetter
from typing import Any, NamedTuple

from psycopg.rows import namedtuple_row
from sqlmodel import Session

from billing_app.db import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.invoice import InvoiceContent, content_sha256, due_date, invoice_number
from billing_app.domain.money import EXACT, exact_sum
from billing_app.domain.periods import label, next_period, periods_between
from billing_app.domain.rating import ZERO, LateUsage, Line, Plan, invoice_lines, rate
from billing_app.services.access import require
from billing_app.services.charges import read_plans
from billing_app.services.invoices import INVOICE_COLUMNS, LINE_COLUMNS, content_of, line_of

_numbers = count()
STREAM_ROWS = 5_000
DIFFERENCES_MAX = 1_000


@dataclass(slots=True)
class Report:
    """What was checked, how many of each, and every difference (the first 1,000 in words)."""

    customers: int = 0
    events: int = 0
    events_billed_once: int = 0
    events_billed_twice: int = 0
    events_missing: int = 0
    events_open: int = 0
    invoices: int = 0
    lines: int = 0
    usage_months: int = 0
    paid_invoices: int = 0
    runs_under_way: int = 0
    # Closed and not yet invoiced: a difference only when no run is under way.
    awaiting_invoice: list[str] = field(default_factory=list)
    difference_count: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return self.difference_count == 0

    def differs(self, what: str) -> None:
        """Notes a difference."""
        self.difference_count += 1
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(what)


class _Usage(NamedTuple):
    """The events of a customer that are used in one month and billed in one period, summed."""

    customer_id: int
    billing_period: date
    usage_period: date
    quantity: Decimal
    events: int


class _Stored(NamedTuple):
    """An invoice as it is stored."""

    sequence: int
    line_count: int
    sha256: str
    content: InvoiceContent


@dataclass(slots=True)
class _Account:
    """All that is stored about one customer's billing."""

    customer: Any
    subscriptions: list[tuple[date, Plan | None]]
    usage: list[_Usage]
    invoices: list[_Stored]
    paid: dict[date, Decimal]

    @property
    def first(self) -> date:
        """The first month with a plan; the month after all that is settled when there is none."""
        if self.subscriptions:
            return self.subscriptions[0][0]
        return next_period(self.customer.settled_through)

    def plan_of(self, month: date) -> Plan | None:
        plan = None
        for effective_from, each in self.subscriptions:
            if effective_from <= month:
                plan = each
        return plan


def recompute(
    session: Session, actor: Actor, on_progress: Callable[[Report], None] = lambda report: None
) -> Report:
    """Recomputes all that is stored and answers every difference; changes nothing.

    Meant for a REPEATABLE READ transaction, so that all of it is of one moment.
    """
    require(actor, Permission.VERIFY)
    report = Report()
    with driver_cursor(session) as db:
        db.execute("SELECT count(*) FROM invoice_run WHERE status = 'running'")
        (report.runs_under_way,) = db.fetchone() or (0,)
        plans = read_plans(db)
    for account in _accounts(session, plans, report):
        _check_account(account, report)
        report.customers += 1
        if report.customers % STREAM_ROWS == 0:
            on_progress(report)
    if not report.runs_under_way:
        for month in report.awaiting_invoice:
            report.differs(f"{month}: closed, and not invoiced")
    return report


def _check_account(account: _Account, report: Report) -> None:
    _check_events(account, report)
    previous: str | None = None
    for position, stored in enumerate(account.invoices, 1):
        report.invoices += 1
        report.lines += len(stored.content.lines)
        for fault in _invoice_faults(account, stored, position, previous):
            report.differs(f"{stored.content.number}: {fault}")
        previous = stored.sha256
    _check_head(account, report)
    _check_charged(account, report)
    _check_payments(account, report)


def _check_events(account: _Account, report: Report) -> None:
    """Every event on exactly one invoice, or in a period that is still open; no month left out."""
    invoiced: dict[date, int] = defaultdict(int)
    for stored in account.invoices:
        invoiced[stored.content.period_start] += 1
    awaiting = {
        month
        for month in periods_between(
            next_period(account.customer.settled_through), next_period(account.customer.closed_through)
        )
        if account.plan_of(month) or any(each.billing_period == month for each in account.usage)
    }
    report.awaiting_invoice += [f"{account.customer.key} {label(month)}" for month in sorted(awaiting)]
    for month in periods_between(account.first, next_period(account.customer.settled_through)):
        if account.plan_of(month) and not invoiced[month]:
            report.differs(f"{account.customer.key}: {label(month)} is settled, has a plan and no invoice")
    oldest_open = next_period(account.customer.closed_through)
    for each in account.usage:
        report.events += each.events
        if each.billing_period > max(each.usage_period, oldest_open):
            report.differs(f"{_of(account, each)}: {each.events} events billed later than they can be")
        if each.billing_period > account.customer.closed_through or each.billing_period in awaiting:
            report.events_open += each.events
        elif invoiced[each.billing_period] == 1:
            report.events_billed_once += each.events
        elif invoiced[each.billing_period] > 1:
            report.events_billed_twice += each.events
            report.differs(f"{_of(account, each)}: {each.events} events on more than one invoice")
        else:
            report.events_missing += each.events
            report.differs(f"{_of(account, each)}: {each.events} events on no invoice")


def _of(account: _Account, usage: _Usage) -> str:
    return f"{account.customer.key}, {label(usage.usage_period)} billed in {label(usage.billing_period)}"


def _invoice_faults(account: _Account, stored: _Stored, position: int, previous: str | None) -> Iterator[str]:
    content = stored.content
    if stored.sequence != position:
        yield f"is number {stored.sequence} where {position} follows"
    if content.number != invoice_number(account.customer.key, stored.sequence):
        yield "does not have its customer's key in its number"
    if content.period_start > account.customer.closed_through:
        yield "is for a period that is still open"
    if content.currency != account.customer.currency:
        yield "is not in the customer's currency"
    if content.due_on != due_date(content.issued_at):
        yield "is not due 30 days after its issue"
    expected = _expected_lines(account, content.period_start)
    yield from _line_faults(expected, content.lines)
    if stored.line_count != len(content.lines):
        yield f"says {stored.line_count} lines and has {len(content.lines)}"
    if content.total_minor != sum(line.amount_minor for line in content.lines):
        yield "has a total that is not the sum of its lines"
    if content.previous_sha256 != previous:
        yield "does not include the hash of the previous invoice"
    if stored.sha256 != content_sha256(content):
        yield "has content that does not match its hash"


def _expected_lines(account: _Account, period_start: date) -> tuple[Line, ...]:
    """The lines by the events and plans alone."""
    own, late = ZERO, []
    for each in account.usage:
        if each.billing_period != period_start:
            continue
        if each.usage_period == period_start:
            own = each.quantity
        elif plan := account.plan_of(each.usage_period):
            before = exact_sum(
                other.quantity
                for other in account.usage
                if other.usage_period == each.usage_period and other.billing_period < period_start
            )
            late.append(LateUsage(each.usage_period, plan, before, EXACT.add(before, each.quantity)))
    return invoice_lines(account.plan_of(period_start), period_start, own, late)


def _line_faults(expected: tuple[Line, ...], found: tuple[Line, ...]) -> Iterator[str]:
    if len(expected) != len(found):
        yield f"has {len(found)} lines where {len(expected)} come out"
    for number, (wanted, line) in enumerate(zip(expected, found, strict=False), 1):
        for name, right, wrong in zip(Line._fields, wanted, line, strict=True):
            if right != wrong:
                yield f"line {number} has {name} {wrong} where {right} comes out"


def _check_head(account: _Account, report: Report) -> None:
    """The billing row agrees with the invoices: no number lost, none ahead."""
    customer, last = account.customer, account.invoices[-1] if account.invoices else None
    if customer.last_number != (last.sequence if last else 0):
        report.differs(
            f"{customer.key}: the last number is {customer.last_number}, not that of the last invoice"
        )
    if customer.last_sha256 != (last.sha256 if last else None):
        report.differs(f"{customer.key}: the chain's head is not the last invoice's hash")
    if last and last.content.period_start > customer.settled_through:
        report.differs(f"{last.content.number}: is beyond the months that are settled")


def _check_charged(account: _Account, report: Report) -> None:
    """Arrival-order independence: charged for a month = rate(all of it that is billed so far)."""
    charged: dict[date, int] = defaultdict(int)
    for stored in account.invoices:
        for line in stored.content.lines:
            if line.usage_period:
                charged[line.usage_period] += line.amount_minor
    invoiced = {stored.content.period_start for stored in account.invoices}
    billed: dict[date, Decimal] = defaultdict(lambda: ZERO)
    for each in account.usage:
        if each.billing_period in invoiced:
            billed[each.usage_period] = EXACT.add(billed[each.usage_period], each.quantity)
    for month in sorted(charged.keys() | billed.keys()):
        report.usage_months += 1
        plan = account.plan_of(month)
        right = rate(plan, billed[month]).amount_minor if plan else 0
        if charged[month] != right:
            report.differs(
                f"{account.customer.key}: charged {charged[month]} minor units for {label(month)},"
                f" where its total rates to {right}"
            )


def _check_payments(account: _Account, report: Report) -> None:
    totals = {stored.content.period_start: stored.content.total_minor for stored in account.invoices}
    for period_start, paid_minor in account.paid.items():
        report.paid_invoices += 1
        if paid_minor > totals.get(period_start, 0):
            report.differs(f"{account.customer.key}: {label(period_start)} is paid beyond its total")


def _accounts(session: Session, plans: dict[int, Plan], report: Report) -> Iterator[_Account]:
    """Every customer with all that is stored, one at a time; rows of no customer are differences."""
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
        yield _Account(
            customer,
            [(row.effective_from, plans.get(row.plan_id)) for row in own["subscriptions"]],
            [_Usage(*row) for row in own["usage"]],
            [
                _Stored(row.sequence, row.line_count, row.content_sha256,
                        content_of(row, lines.get(row.period_start, ())))
                for row in own["invoices"]
            ],
            {row.period_start: row.paid_minor for row in own["paid"]},
        )  # fmt: skip
    for name, stream in streams.items():
        if not stream.ended:
            report.differs(f"{name}: there are rows of no customer")


_USAGE = """
    SELECT customer_id, billing_period,
           date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date AS usage_period,
           sum(quantity) AS quantity, count(*) AS events
    FROM usage_event GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

_PAID = """
    SELECT p.customer_id, p.period_start, sum(p.amount_minor) AS paid_minor
    FROM payment p LEFT JOIN payment_reversal r USING (customer_id, payment_id)
    WHERE r.payment_id IS NULL
    GROUP BY 1, 2 ORDER BY 1, 2
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

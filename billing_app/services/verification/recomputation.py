"""The proof: everything recomputed from events, plans and payments, and compared.

Nothing here trusts what an invoice says about itself: quantities come from the events, terms from
plans and subscriptions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from sqlmodel import Session

from billing_app.database import locks
from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.invoice import content_sha256, due_date, invoice_number
from billing_app.domain.money import EXACT, exact_sum
from billing_app.domain.periods import label, next_period, parse_period, periods_between
from billing_app.domain.rating import ZERO, LateUsage, Line, invoice_lines, rate
from billing_app.services.shared.permissions import require
from billing_app.services.verification.accounts import Account, StoredInvoice, UsageSum, read_accounts

PROGRESS_EVERY = 5_000
DIFFERENCES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class AwaitingInvoice:
    """A month that is closed, has something to invoice, and no invoice."""

    customer_id: int
    customer_key: str
    period: str


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
    # Differences only when nobody is about to invoice them: see `still_awaiting`.
    awaiting_invoice: list[AwaitingInvoice] = field(default_factory=list)
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


def recompute(
    session: Session, actor: Actor, on_progress: Callable[[Report], None] = lambda report: None
) -> Report:
    """Recomputes all that is stored and answers every difference; changes nothing.

    Meant for a REPEATABLE READ transaction, so that all of it is of one moment.
    """
    require(actor, Permission.VERIFY)
    report = Report()
    accounts = read_accounts(session, lambda kind: report.differs(f"{kind}: there are rows of no customer"))
    for account in accounts:
        _check_account(account, report)
        report.customers += 1
        if report.customers % PROGRESS_EVERY == 0:
            on_progress(report)
    return report


def still_awaiting(
    session: Session, actor: Actor, awaiting: Sequence[AwaitingInvoice]
) -> list[AwaitingInvoice]:
    """Those that have no invoice now either, and no run that is being executed for their month.

    A run counts while somebody holds its lock: one that was killed and left is no excuse.
    """
    require(actor, Permission.VERIFY)
    with driver_cursor(session) as db:
        db.execute(
            """
            SELECT a.position
            FROM unnest(%(ids)s::bigint[], %(periods)s::date[]) WITH ORDINALITY
                 AS a(customer_id, period, position)
            JOIN customer_billing b ON b.customer_id = a.customer_id AND b.settled_through < a.period
            WHERE NOT EXISTS (
                SELECT FROM invoice_run r
                JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                    AND l.classid::bigint = %(kind)s AND l.objid::bigint = r.run_id
                JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
                WHERE r.status = 'running' AND r.period_start = a.period
            )
            ORDER BY a.position
            """,
            {
                "ids": [each.customer_id for each in awaiting],
                "periods": [parse_period(each.period) for each in awaiting],
                "kind": locks.RUN,
            },
        )
        return [awaiting[position - 1] for (position,) in db]


def _check_account(account: Account, report: Report) -> None:
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


def _check_events(account: Account, report: Report) -> None:
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
    report.awaiting_invoice += [
        AwaitingInvoice(account.customer.customer_id, account.customer.key, label(month))
        for month in sorted(awaiting)
    ]
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


def _of(account: Account, usage: UsageSum) -> str:
    return f"{account.customer.key}, {label(usage.usage_period)} billed in {label(usage.billing_period)}"


def _invoice_faults(
    account: Account, stored: StoredInvoice, position: int, previous: str | None
) -> Iterator[str]:
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


def _expected_lines(account: Account, period_start: date) -> tuple[Line, ...]:
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


def _check_head(account: Account, report: Report) -> None:
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


def _check_charged(account: Account, report: Report) -> None:
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


def _check_payments(account: Account, report: Report) -> None:
    totals = {stored.content.period_start: stored.content.total_minor for stored in account.invoices}
    for period_start, paid_minor in account.paid.items():
        report.paid_invoices += 1
        if paid_minor > totals.get(period_start, 0):
            report.differs(f"{account.customer.key}: {label(period_start)} is paid beyond its total")
    owed = {
        period_start: account.paid.get(period_start, Decimal(0))
        for period_start, total_minor in totals.items()
        if account.paid.get(period_start, 0) < total_minor
    }
    for period_start in sorted({period for period, _ in owed.items() ^ account.unsettled.items()}):
        report.differs(f"{account.customer.key}: {label(period_start)} is not listed by what is paid of it")

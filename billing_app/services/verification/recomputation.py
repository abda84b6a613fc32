"""Recompute every invoice from events, plans and payments, and compare it with the stored one.

Nothing is taken from the invoice itself: quantities come from the events, and terms from plans and
subscriptions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from sqlmodel import Session

from billing_app.domain.actor import Actor, Permission
from billing_app.domain.invoice import content_sha256, due_date, invoice_number, line_field
from billing_app.domain.lines import Component, Line
from billing_app.domain.money import EXACT, Amount, plain
from billing_app.domain.periods import next_period, periods_between
from billing_app.domain.pricing import ZERO
from billing_app.services.shared.permissions import require
from billing_app.services.verification.accounts import (
    ALL_CUSTOMERS,
    Account,
    CustomerRange,
    InvoiceRecord,
    read_accounts,
)
from billing_app.services.verification.chain import Chain
from billing_app.services.verification.expected import (
    Charges,
    count_unpriced,
    expected_charges,
    expected_lines,
    with_copied_names,
)
from billing_app.services.verification.report import AwaitingInvoice, Report, StatedGap, Subject

PROGRESS_EVERY = 5_000

OnProgress = Callable[[Report], None]


def recompute(
    session: Session,
    actor: Actor,
    on_progress: OnProgress = lambda report: None,
    customers: CustomerRange = ALL_CUSTOMERS,
) -> Report:
    """Recompute every invoice of these customers and report every discrepancy, without changing anything.

    The transaction must be REPEATABLE READ, so that everything is read as of the same time.
    """
    require(actor, Permission.VERIFY)
    report = Report()
    accounts = read_accounts(
        session, customers, lambda rows: report.add(Subject(), "rows_without_customer", rows=rows)
    )
    for account in accounts:
        _Check(account, report).run()
        report.checked.customers += 1
        if report.checked.customers % PROGRESS_EVERY == 0:
            on_progress(report)
    return report


@dataclass(frozen=True, slots=True)
class _Check:
    """Checks one customer's account and adds discrepancies to the report."""

    account: Account
    report: Report

    def run(self) -> None:
        """Run all checks."""
        self._check_events()
        self.report.checked.events_unpriced += count_unpriced(self.account)
        self._check_settled_months()
        chain = Chain(self.account.gaps)
        for stored in self.account.invoices:
            chain.pass_gaps()
            self._check_invoice(stored, chain.expected, chain.sha256)
            chain.pass_invoice(stored.sequence, stored.sha256)
        chain.pass_gaps()
        self._check_head(chain)
        self._check_gaps(chain)
        self._check_charges()
        self._check_payments()
        self._check_credit()

    def _add(self, code: str, invoice: str | None = None, **facts: object) -> None:
        self.report.add(Subject(self.account.customer.ref, invoice), code, **facts)

    def _add_usage(self, code: str, usage: _Events) -> None:
        """Add the discrepancy about events, and the same about corrections."""
        for noun, number in (("events", usage.events), ("corrections", usage.corrections)):
            if number:
                facts: dict[str, Any] = {noun: number}
                self._add(
                    f"{noun}_{code}", usage_period=usage.usage_period, period=usage.billing_period, **facts
                )

    def _check_events(self) -> None:
        """Check that all events and corrections are on exactly one invoice or in a period that is still open."""
        account, checked = self.account, self.report.checked
        invoiced: dict[date, int] = defaultdict(int)
        for stored in account.invoices:
            invoiced[stored.content.period_start] += 1
        awaiting = self._months_awaiting_invoice()
        oldest_open = next_period(account.customer.closed_through)
        if account.misplaced_events:
            self._add("events_misplaced", events=account.misplaced_events)
        for wrong in account.wrong_corrections:
            self._add("wrong_correction", event=wrong.idempotency_key, number=wrong.number)
        for usage in _sum_events(account):
            checked.events += usage.events
            checked.corrections += usage.corrections
            if usage.billing_period > max(usage.usage_period, oldest_open):
                self._add_usage("billed_too_late", usage)
            if usage.billing_period >= oldest_open or usage.billing_period in awaiting:
                checked.events_open += usage.events
            elif invoiced[usage.billing_period] == 1:
                checked.events_billed_once += usage.events
            elif invoiced[usage.billing_period] > 1:
                checked.events_billed_twice += usage.events
                self._add_usage("billed_twice", usage)
            elif not usage.quantity and not account.segments_in(usage.usage_period):
                # Cancelling a month that has nothing but events of quantity zero leaves no invoice to be on.
                checked.events_open += usage.events
            else:
                checked.events_missing += usage.events
                self._add_usage("not_invoiced", usage)

    def _months_awaiting_invoice(self) -> set[date]:
        """Report the months that are closed, not settled, and have something to invoice."""
        account = self.account
        months = {
            month
            for month in periods_between(
                next_period(account.customer.settled_through), next_period(account.customer.closed_through)
            )
            if account.segments_in(month)
            or account.items_in(month)
            or any(usage.usage_period < usage.billing_period == month for usage in account.usage)
        }
        self.report.awaiting_invoice += [
            AwaitingInvoice(account.customer.ref, month) for month in sorted(months)
        ]
        return months

    def _check_settled_months(self) -> None:
        """Check that every settled month with a plan or a one-off item has an invoice."""
        account = self.account
        invoiced = {stored.content.period_start for stored in account.invoices}
        for month in periods_between(account.first_month, next_period(account.customer.settled_through)):
            is_due = account.segments_in(month) or account.items_in(month)
            if is_due and month not in invoiced:
                self._add("settled_without_invoice", period=month)

    def _check_invoice(self, stored: InvoiceRecord, position: int, previous_sha256: str | None) -> None:
        """Compare an invoice with its recomputation."""
        customer, content = self.account.customer, stored.content
        number = content.number
        self.report.checked.invoices += 1
        self.report.checked.lines += len(content.lines)
        if stored.sequence != position:
            self._add("wrong_sequence", number, found=stored.sequence, expected=position)
        if number != invoice_number(customer.key, stored.sequence):
            self._add("foreign_number", number)
        if content.period_start > customer.closed_through:
            self._add("period_still_open", number, period=content.period_start)
        if content.currency != customer.currency:
            self._add("wrong_currency", number, found=content.currency, expected=customer.currency)
        if content.due_on != due_date(content.issued_at):
            self._add("wrong_due_date", number)
        self._check_lines(number, expected_lines(self.account, content.period_start), content.lines)
        if stored.line_count != len(content.lines):
            self._add("wrong_line_count", number, stated=stored.line_count, found=len(content.lines))
        if content.total_minor != sum(line.amount_minor for line in content.lines):
            self._add("wrong_total", number)
        if content.previous_sha256 != previous_sha256:
            self._add("broken_chain", number)
        if stored.sha256 != content_sha256(content):
            self._add("content_changed", number)

    def _check_lines(self, number: str, expected: tuple[Line, ...], found: tuple[Line, ...]) -> None:
        """Check every value of every line."""
        if len(expected) != len(found):
            self._add("missing_or_extra_lines", number, found=len(found), expected=len(expected))
        for line_number, (right, line) in enumerate(zip(expected, found, strict=False), 1):
            right = with_copied_names(right, line)
            if right == line:
                continue
            for name, expected_value, found_value in zip(Line._fields, right, line, strict=True):
                if expected_value != found_value:
                    self._add(
                        "wrong_line", number, line=line_number, value=line_field(name),
                        found=self._fact(found_value, name), expected=self._fact(expected_value, name),
                    )  # fmt: skip

    def _fact(self, value: object, name: str) -> object:
        """Return the value of a line's field as a fact of a discrepancy."""
        if "_minor" in name and isinstance(value, int):
            return Amount(value, self.account.customer.currency)
        return plain(value) if isinstance(value, Decimal) else value

    def _check_gaps(self, chain: Chain) -> None:
        """State the gaps in the invoice numbers, and check that each one fits the chain."""
        ref = self.account.customer.ref
        self.report.number_gaps += [StatedGap.of(ref, stored.gap) for stored in self.account.gaps]
        chain.end()
        for gap in chain.wrong_gaps:
            first, last = gap.numbers
            self._add("wrong_number_gap", first=first, last=last)

    def _check_head(self, chain: Chain) -> None:
        """Check that the customer's billing row has the number and hash of the last invoice."""
        customer = self.account.customer
        last = self.account.invoices[-1] if self.account.invoices else None
        if customer.last_number != chain.sequence:
            self._add("wrong_last_number", found=customer.last_number, expected=chain.sequence)
        if customer.last_sha256 != chain.sha256:
            self._add("wrong_last_hash")
        if last and last.content.period_start > customer.settled_through:
            self._add("invoice_of_unsettled_month", last.content.number, period=last.content.period_start)

    def _check_charges(self) -> None:
        """Check that all charges for each component of a month add up to its price for all of the usage."""
        account = self.account
        charged: dict[date, dict[Component, int]] = defaultdict(lambda: defaultdict(int))
        invoiced = {stored.content.period_start for stored in account.invoices}
        for stored in account.invoices:
            for line in stored.content.lines:
                if line.usage_period:
                    charged[line.usage_period][line.component] += line.amount_minor
        months = charged.keys() | {
            usage.usage_period for usage in account.usage if usage.billing_period in invoiced
        }
        for month in sorted(months):
            self.report.checked.usage_months += 1
            expected = expected_charges(account, month, lambda billed: billed in invoiced)
            self._compare_charges(month, charged[month], expected)

    def _compare_charges(self, month: date, found: Charges, expected: Charges) -> None:
        """Compare the charges for each component of a month, in the order of its lines."""
        currency = self.account.customer.currency
        for component in {**expected, **found}:
            amounts = [charges.get(component, 0) for charges in (found, expected)]
            if amounts[0] != amounts[1]:
                self._add(
                    "wrong_charge", part=component.part, period=month,
                    found=Amount(amounts[0], currency), expected=Amount(amounts[1], currency),
                )  # fmt: skip

    def _check_payments(self) -> None:
        """Check that no invoice is overpaid, and that the table of open invoices is correct."""
        account = self.account
        totals = {stored.content.period_start: stored.content.total_minor for stored in account.invoices}
        for period_start, paid_minor in account.paid.items():
            self.report.checked.paid_invoices += 1
            if paid_minor > totals.get(period_start, 0):
                self._add("overpaid", period=period_start)
        unsettled = {
            period_start: account.paid.get(period_start, Decimal(0))
            for period_start, total_minor in totals.items()
            if account.paid.get(period_start, 0) < total_minor
        }
        for period_start in sorted({period for period, _ in unsettled.items() ^ account.unsettled.items()}):
            self._add("wrong_open_invoice", period=period_start)

    def _check_credit(self) -> None:
        """Check that the credit is what invoices below zero left, less what was applied or refunded."""
        account = self.account
        given = -sum(min(0, stored.content.total_minor) for stored in account.invoices)
        expected = given - int(account.credit_taken)
        if account.customer.credit_minor != expected:
            currency = account.customer.currency
            self._add(
                "wrong_credit",
                found=Amount(int(account.customer.credit_minor), currency),
                expected=Amount(expected, currency),
            )


class _Events(NamedTuple):
    """The events that occurred in one month, and corrections of such, that are billed in one period."""

    billing_period: date
    usage_period: date
    events: int
    corrections: int
    quantity: Decimal
    """The sum of the quantities of all meters, which says whether there is any."""


def _sum_events(account: Account) -> list[_Events]:
    """Count the events of all meters together."""
    found: dict[tuple[date, date], _Events] = {}
    for usage in account.usage:
        months = (usage.billing_period, usage.usage_period)
        so_far = found.get(months, _Events(*months, 0, 0, ZERO))
        found[months] = so_far._replace(
            events=so_far.events + usage.events,
            corrections=so_far.corrections + usage.corrections,
            quantity=EXACT.add(so_far.quantity, usage.quantity),
        )
    return list(found.values())

"""The report of a verification: counts, and each discrepancy as a code and facts.

Reports are stored as JSON. `billing_app.wording.discrepancies` has the sentences.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from billing_app.domain.invoice import NumberGap
from billing_app.domain.periods import label, parse_period
from billing_app.services.shared.reasons import facts_from_json, facts_to_json

# Only the first ones are kept, but all are counted.
DISCREPANCIES_MAX = 1_000


class CustomerRef(NamedTuple):
    """The customer that a discrepancy or a month belongs to."""

    customer_id: int
    key: str
    name: str


class Subject(NamedTuple):
    """What a discrepancy is about: an invoice of a customer, a customer, or neither."""

    customer: CustomerRef | None = None
    invoice: str | None = None


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A stored value that contradicts the events, plans and payments: a stable code with its facts."""

    subject: Subject
    code: str
    facts: Mapping[str, object] = field(default_factory=dict)


class AwaitingInvoice(NamedTuple):
    """A month of a customer that is closed, has something to invoice, and has no invoice."""

    customer: CustomerRef
    period_start: date


class StatedGap(NamedTuple):
    """Numbers that a customer got before a restore, and whose invoices are not in the database.

    `backup_of` is when the restored backup was made, `recorded_at` when it was restored.
    """

    customer: CustomerRef
    first: str
    last: str
    backup_of: datetime
    recorded_at: datetime

    @classmethod
    def of(cls, customer: CustomerRef, gap: NumberGap) -> StatedGap:
        """Return a gap as reports state it."""
        return cls(customer, *gap.numbers, gap.backup_of, gap.recorded_at)

    def as_json(self) -> dict[str, Any]:
        """Return what a JSONB column holds; `from_json` reads it."""
        moments = {"backup_of": self.backup_of.isoformat(), "recorded_at": self.recorded_at.isoformat()}
        return self._asdict() | {"customer": list(self.customer)} | moments

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> StatedGap:
        """Read what `as_json` wrote."""
        return cls(
            CustomerRef(*stored["customer"]),
            stored["first"],
            stored["last"],
            datetime.fromisoformat(stored["backup_of"]),
            datetime.fromisoformat(stored["recorded_at"]),
        )


@dataclass(slots=True)
class Counts:
    """How many of each were checked."""

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
    # A fact, not a discrepancy: usage on a meter that the plan of its day has no charge for.
    events_unpriced: int = 0
    corrections: int = 0


@dataclass(slots=True)
class Report:
    """The counts of what was checked, the number of discrepancies, and the first 1,000 of them."""

    checked: Counts = field(default_factory=Counts)
    # These become discrepancies unless the invoice is about to be created: see
    # `awaiting.select_still_awaiting`.
    awaiting_invoice: list[AwaitingInvoice] = field(default_factory=list)
    # Facts, not discrepancies.
    number_gaps: list[StatedGap] = field(default_factory=list)
    discrepancy_count: int = 0
    discrepancies: list[Discrepancy] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is no discrepancy."""
        return self.discrepancy_count == 0

    def add(self, subject: Subject, code: str, **facts: object) -> None:
        """Count a discrepancy, and keep it if it is among the first 1,000."""
        self.discrepancy_count += 1
        if len(self.discrepancies) < DISCREPANCIES_MAX:
            self.discrepancies.append(Discrepancy(subject, code, facts))

    @classmethod
    def merged(cls, parts: Iterable[Report]) -> Report:
        """Combine reports about different customers.

        A discrepancy without a customer is counted once, even if several parts have it.
        """
        whole, of_no_customer = cls(), list[Discrepancy]()
        for part in parts:
            for counted in dataclasses.fields(Counts):
                count = getattr(whole.checked, counted.name) + getattr(part.checked, counted.name)
                setattr(whole.checked, counted.name, count)
            whole.awaiting_invoice += part.awaiting_invoice
            whole.number_gaps += part.number_gaps
            whole.discrepancy_count += part.discrepancy_count
            whole.discrepancies += [each for each in part.discrepancies if each.subject.customer]
            for each in part.discrepancies:
                if not each.subject.customer and each in of_no_customer:
                    whole.discrepancy_count -= 1
                elif not each.subject.customer:
                    of_no_customer.append(each)
        whole.discrepancies = [*whole.discrepancies, *of_no_customer][:DISCREPANCIES_MAX]
        return whole

    def as_json(self) -> dict[str, Any]:
        """Return what a JSONB column holds; `from_json` reads it."""
        return {
            "checked": dataclasses.asdict(self.checked),
            "awaiting_invoice": [
                {"customer": list(each.customer), "period": label(each.period_start)}
                for each in self.awaiting_invoice
            ],
            "number_gaps": [each.as_json() for each in self.number_gaps],
            "discrepancy_count": self.discrepancy_count,
            "discrepancies": [
                {
                    "customer": list(each.subject.customer) if each.subject.customer else None,
                    "invoice": each.subject.invoice,
                    "code": each.code,
                    "facts": facts_to_json(each.facts),
                }
                for each in self.discrepancies
            ],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Report:
        """Read what `as_json` wrote."""
        return cls(
            checked=Counts(**stored["checked"]),
            awaiting_invoice=[
                AwaitingInvoice(CustomerRef(*each["customer"]), parse_period(each["period"]))
                for each in stored["awaiting_invoice"]
            ],
            number_gaps=[StatedGap.from_json(each) for each in stored["number_gaps"]],
            discrepancy_count=stored["discrepancy_count"],
            discrepancies=[
                Discrepancy(
                    Subject(CustomerRef(*each["customer"]) if each["customer"] else None, each["invoice"]),
                    each["code"],
                    facts_from_json(each["facts"]),
                )
                for each in stored["discrepancies"]
            ],
        )

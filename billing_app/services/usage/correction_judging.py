"""Decide which corrections of a batch are recorded, row by row, from what one query found about them.

A correction whose key is already recorded is a duplicate or a conflict, whatever else is wrong with it, so
that the answer to a report never changes. Several corrections of one event apply in the order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from billing_app.domain.money import EXACT
from billing_app.domain.terms import Aggregation
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage.recording import RowResult


class IncomingCorrection(NamedTuple):
    """A well-formed report. The customer is identified by id or by key."""

    position: int
    customer_id: int | None
    customer_key: str | None
    idempotency_key: str
    quantity: Decimal
    reason: str
    correction_key: str


class Content(NamedTuple):
    """What a correction says. The same key with other content is a conflict."""

    idempotency_key: str
    quantity: Decimal
    reason: str


class EventState(NamedTuple):
    """The event that a row corrects, as it is now.

    `billing_period` is the one in which a correction of it is billed now, and `number` that of its newest
    correction, or zero.
    """

    occurred_at: datetime
    meter_id: int
    aggregation: Aggregation
    billing_period: date
    has_plan: bool
    number: int
    quantity: Decimal


class Found(NamedTuple):
    """What is recorded that concerns a row: its customer, the correction with its key, and its event."""

    customer_id: int | None
    known: Content | None
    event: EventState | None


class NewCorrection(NamedTuple):
    """A correction to write, in the order of the columns."""

    customer_id: int
    idempotency_key: str
    number: int
    correction_key: str
    occurred_at: datetime
    meter_id: int
    quantity_before: Decimal
    quantity: Decimal
    difference: Decimal
    billing_period: date
    reason: str


class Judged(NamedTuple):
    """The corrections to write, in the order of rows, and a result for each other row."""

    accepted: list[NewCorrection]
    results: list[RowResult]


def judge(rows: Iterable[IncomingCorrection], found: Mapping[int, Found]) -> Judged:
    """Judge well-formed rows in their order. `found` is by their position."""
    judging = _Judging()
    for row in rows:
        judging.add(row, found[row.position])
    return Judged(judging.accepted, judging.results)


class _Judging:
    """The outcome so far, and what the rows so far have changed."""

    def __init__(self) -> None:
        self.accepted: list[NewCorrection] = []
        self.results: list[RowResult] = []
        self._contents: dict[tuple[int, str], Content] = {}
        self._events: dict[tuple[int, str], EventState] = {}

    def add(self, row: IncomingCorrection, found: Found) -> None:
        """Accept a row, or add the result that says why not."""
        if found.customer_id is None:
            self._reject(row, "customer", "customer_not_found")
            return
        content = Content(row.idempotency_key, row.quantity, row.reason)
        key = (found.customer_id, row.correction_key)
        if known := found.known or self._contents.get(key):
            self._compare(row, content, known)
            return
        event = self._events.get((found.customer_id, row.idempotency_key), found.event)
        if event is None:
            self._reject(row, "idempotency_key", "event_not_found")
        elif event.aggregation == "unique" and row.quantity not in (0, 1):
            self._reject(row, "quantity", "not_zero_or_one", code="invalid")
        elif row.quantity == event.quantity:
            self._reject(row, "quantity", "nothing_to_correct")
        elif row.quantity and not event.has_plan:
            self._reject(row, "quantity", "not_zero_without_plan", code="no_plan")
        else:
            self._accept(row, found.customer_id, event)
            self._contents[key] = content

    def _accept(self, row: IncomingCorrection, customer_id: int, event: EventState) -> None:
        correction = NewCorrection(
            customer_id=customer_id,
            idempotency_key=row.idempotency_key,
            number=event.number + 1,
            correction_key=row.correction_key,
            occurred_at=event.occurred_at,
            meter_id=event.meter_id,
            quantity_before=event.quantity,
            quantity=row.quantity,
            difference=EXACT.subtract(row.quantity, event.quantity),
            billing_period=event.billing_period,
            reason=row.reason,
        )
        self.accepted.append(correction)
        self._events[customer_id, row.idempotency_key] = event._replace(
            number=correction.number, quantity=row.quantity
        )

    def _compare(self, row: IncomingCorrection, content: Content, known: Content) -> None:
        if content == known:
            self.results.append(RowResult(row.position, "duplicate"))
        else:
            reason = Reason("idempotency_conflict", "correction_key", "used_for_another_correction")
            self.results.append(RowResult(row.position, "conflict", reason))

    def _reject(self, row: IncomingCorrection, field: str, rule: str, *, code: str | None = None) -> None:
        self.results.append(RowResult(row.position, "rejected", Reason(code or rule, field, rule)))

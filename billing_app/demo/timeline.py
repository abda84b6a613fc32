"""The demo's timeline: what happens when, from shortly before its first month until today."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import product
from typing import NamedTuple

from billing_app.demo.actions import Actions
from billing_app.demo.adjustments import CORRECTIONS, DISCOUNTS, ITEMS, REFUNDS, DemoCorrection
from billing_app.demo.company import NEW_GROWTH, NEW_GROWTH_IN, PILOT_ARCHIVED_IN, PLANS, SEATS, TILES
from billing_app.demo.customers import (
    BACKDATED,
    CUSTOMERS,
    MID_MONTH_STARTS,
    MOVES,
    OUTAGES,
    PAUSES,
    DemoCustomer,
    Outage,
)
from billing_app.demo.receipts import Receipt, Reversal, receipts_for, reversals_for
from billing_app.demo.usage import list_map_reports, list_request_reports
from billing_app.domain.periods import bounds, next_period, period_of, previous_period
from billing_app.services.usage.recording import UsageReport

MONTHS = 12
_DAY = timedelta(days=1)
# After the last usage of the month has been reported.
_RUN_AT = timedelta(hours=6, minutes=15)
_COLLECTED_AT = timedelta(minutes=10)
_LATELY = timedelta(days=10)


class Step(NamedTuple):
    """An action and its time."""

    at: datetime
    perform: Callable[[Actions], None]


class Timeline:
    """Everything that has happened by `today`, which fully determines it.

    What happened on past days doesn't depend on the time of day of `today`.
    """

    def __init__(self, today: datetime) -> None:
        self.today = today.astimezone(UTC).replace(microsecond=0)
        month = period_of(self.today)
        self.months = [month, next_period(month)]
        for _ in range(MONTHS):
            self.months.insert(0, previous_period(self.months[0]))
        self.opening = bounds(self.months[0])[0] - timedelta(days=24, hours=-8)
        self.customers = {customer.key: customer for customer in CUSTOMERS}
        self.joined = {customer.key: self._joined_at(customer) for customer in CUSTOMERS}

    def list_steps(self) -> list[Step]:
        """Return what has happened, in order of time. At the same time, usage precedes its invoices."""
        steps = [
            *self._plans(),
            *self._customers(),
            *self._usage(),
            *self._invoices(),
            *self._payments(),
            *self._adjustments(),
            *self._corrections(),
        ]
        return sorted((step for step in steps if step.at <= self.today), key=lambda step: step.at)

    def _plans(self) -> Iterator[Step]:
        yield Step(self.opening, partial(Actions.set_up, plans=PLANS))
        yield Step(self._moment(PILOT_ARCHIVED_IN, 1, 14), partial(Actions.archive, name="Pilot"))
        yield Step(
            self._moment(NEW_GROWTH_IN, 1, 8),
            partial(Actions.replace_plan, terms=NEW_GROWTH, version=2, meters=(TILES, SEATS)),
        )

    def _customers(self) -> Iterator[Step]:
        for key, customer in self.customers.items():
            is_mid_month = key in MID_MONTH_STARTS
            start = self.joined[key].date() if is_mid_month else self.months[customer.month]
            yield Step(self.joined[key], partial(Actions.add_customer, customer=customer, start=start))
        for move in MOVES:
            yield Step(
                self._moment(move.month - 1, 18, 13),
                partial(
                    Actions.change_plan,
                    key=move.key,
                    plan=move.plan,
                    effective_from=self.months[move.month].replace(day=move.day),
                ),
            )
        for pause in PAUSES:
            yield Step(
                self._moment(pause.month, pause.first_day, 10),
                partial(Actions.set_status, key=pause.key, status="suspended"),
            )
            if pause.last_day:
                yield Step(
                    self._moment(pause.month, pause.last_day, 10),
                    partial(Actions.set_status, key=pause.key, status="active"),
                )

    def _usage(self) -> Iterator[Step]:
        """Yield usage as it is reported: immediately for a backdated contract, and late after an outage."""
        for days in self._collections():
            at = min(_midnight(days[-1] + _DAY) + _COLLECTED_AT, self.today)
            yield Step(at, partial(Actions.record, reports=self._collected(days)))
        for key in BACKDATED:
            yield Step(
                self.joined[key] + timedelta(minutes=20),
                partial(Actions.record, reports=self._used_before_joining(self.customers[key])),
            )
        for outage in OUTAGES:
            at = bounds(self.months[outage.month])[1] + timedelta(days=outage.delay, hours=9)
            yield Step(at, partial(Actions.record, reports=self._held_up(outage)))

    def _collections(self) -> Iterator[list[date]]:
        """Yield groups of days whose usage is reported together: three days, or single days recently.

        Reporting every day of the year separately would make loading the demo 50 % slower.
        """
        days = []
        day = self.months[0]
        while day <= self.today.date():
            days.append(day)
            day += _DAY
            if day.day % 3 == 1 or day > self.today.date() - _LATELY:
                yield days
                days = []

    def _collected(self, days: list[date]) -> Iterator[UsageReport]:
        for day, customer in product(days, CUSTOMERS):
            if self.joined[customer.key].date() < day + self._collected_from(customer) and not any(
                outage.key == customer.key and day in self._days_of(outage) for outage in OUTAGES
            ):
                yield from self._used(customer, day)

    def _collected_from(self, customer: DemoCustomer) -> timedelta:
        """Return when the first usage is reported. With a backdated contract, that includes earlier days."""
        return _DAY if customer.key in BACKDATED else timedelta()

    def _used_before_joining(self, customer: DemoCustomer) -> Iterator[UsageReport]:
        day = self.months[customer.month]
        while day < self.joined[customer.key].date():
            yield from self._used(customer, day)
            day += _DAY

    def _held_up(self, outage: Outage) -> Iterator[UsageReport]:
        for day in self._days_of(outage):
            yield from self._used(self.customers[outage.key], day)

    def _days_of(self, outage: Outage) -> list[date]:
        end = self.months[outage.month + 1]
        return [end - _DAY * back for back in range(outage.days, 0, -1)]

    def _used(self, customer: DemoCustomer, day: date) -> Iterator[UsageReport]:
        """Yield the day's events, except those during a suspension, after a cancellation or after `today`."""
        month = self.months.index(period_of(_midnight(day)))
        has_left = any(move.key == customer.key and not move.plan and month >= move.month for move in MOVES)
        for report in () if has_left else self._reports(customer, day, month):
            assert isinstance(report.occurred_at, datetime)
            if report.occurred_at <= self.today and not self._suspended(customer, report.occurred_at):
                yield report

    def _reports(self, customer: DemoCustomer, day: date, month: int) -> Iterator[UsageReport]:
        yield from list_request_reports(customer, day, month)
        since = self._maps_since(customer)
        if since and since <= day:
            yield from list_map_reports(customer, day, month, is_first_day=day == since)

    def _maps_since(self, customer: DemoCustomer) -> date | None:
        """Return the first day on the version of Growth that charges for map tiles and seats, if there is one."""
        moves = (
            self.months[move.month].replace(day=move.day)
            for move in MOVES
            if move.key == customer.key and move.plan == NEW_GROWTH.name
        )
        starts_with_it = customer.plan == NEW_GROWTH.name and customer.month >= NEW_GROWTH_IN
        return self.months[customer.month] if starts_with_it else next(moves, None)

    def _suspended(self, customer: DemoCustomer, moment: datetime) -> bool:
        return any(
            pause.key == customer.key
            and self._moment(pause.month, pause.first_day, 10) <= moment
            and (not pause.last_day or moment < self._moment(pause.month, pause.last_day, 10))
            for pause in PAUSES
        )

    def _invoices(self) -> Iterator[Step]:
        for key in BACKDATED:
            period = self.months[self.customers[key].month]
            yield Step(
                self.issued_at(key, period), partial(Actions.generate_invoice, key=key, period_start=period)
            )
        for period in self.months[:MONTHS]:
            at = min(bounds(period)[1] + _RUN_AT, self.today)
            yield Step(at, partial(Actions.run_invoices, period_start=period))

    def issued_at(self, key: str, period: date) -> datetime:
        """Return when the customer's invoice for the month is created."""
        customer = self.customers[key]
        if key in BACKDATED and period == self.months[customer.month]:
            return self.joined[key] + timedelta(hours=1)
        return bounds(period)[1] + _RUN_AT

    def _payments(self) -> Iterator[Step]:
        receipts, reversals = self.list_receipts()
        by_time = defaultdict(list)
        for receipt in receipts:
            by_time[receipt.recorded_at].append(receipt)
        for at, same_time in by_time.items():
            yield Step(at, partial(Actions.record_payments, receipts=same_time))
        for each in reversals:
            yield Step(each.at, partial(Actions.reverse, reversal=each))

    def _adjustments(self) -> Iterator[Step]:
        for discount in DISCOUNTS:
            first = self.months[discount.first]
            last = None if discount.last is None else self.months[discount.last]
            at = max(self._moment(discount.first, 2, 11), self.joined[discount.key] + timedelta(minutes=5))
            yield Step(at, partial(Actions.add_discount, discount=discount, first=first, last=last))
        for item in ITEMS:
            at = self._moment(item.month, item.day, 14)
            yield Step(at, partial(Actions.record_item, item=item, day=at.date()))
        for refund in REFUNDS:
            at = bounds(self.months[refund.month])[1] + _RUN_AT + timedelta(hours=4)
            yield Step(at, partial(Actions.record_refund, refund=refund, day=at.date()))

    def _corrections(self) -> Iterator[Step]:
        for correction in CORRECTIONS:
            at = self._moment(correction.month, correction.day, 10) + _DAY * correction.days_later
            yield Step(at, partial(Actions.correct, event=self._event_of(correction), correction=correction))

    def _event_of(self, correction: DemoCorrection) -> UsageReport:
        """Return the first event of the correction's meter on its day."""
        day = self.months[correction.month].replace(day=correction.day)
        events = self._used(self.customers[correction.key], day)
        return next(event for event in events if event.meter == correction.meter)

    def list_receipts(self) -> tuple[list[Receipt], list[Reversal]]:
        """Return all payments and reversals, including those after `today`."""
        receipts: list[Receipt] = []
        reversals: list[Reversal] = []
        for key, customer in self.customers.items():
            for month in range(customer.month, MONTHS):
                period = self.months[month]
                paid = list(receipts_for(customer, month, period, self.issued_at(key, period).date()))
                receipts += paid
                reversals += reversals_for(customer, month, paid)
        return receipts, reversals

    def _joined_at(self, customer: DemoCustomer) -> datetime:
        dice = random.Random(f"{customer.key} joins")
        minutes = timedelta(minutes=dice.randrange(9 * 60, 17 * 60))
        if customer.key in BACKDATED:
            return self._moment(customer.month + 1, dice.randint(12, 16), 0) + minutes
        if customer.month == 0:
            return bounds(self.months[0])[0] - timedelta(days=dice.randint(3, 20)) + minutes
        return self._moment(customer.month, dice.randint(2, 21), 0) + minutes

    def _moment(self, month: int, day: int, hour: int) -> datetime:
        return _midnight(self.months[month].replace(day=day)) + timedelta(hours=hour)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(tzinfo=UTC))

"""The demo's story: what happens when, from a little before its first month up to today. Pure."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import product
from typing import NamedTuple

from billing_app.demo.company import NEW_GROWTH, NEW_GROWTH_IN, PILOT_ARCHIVED_IN, PLANS
from billing_app.demo.customers import (
    BACKDATED,
    CUSTOMERS,
    MOVES,
    OUTAGES,
    PAUSES,
    DemoCustomer,
    Outage,
)
from billing_app.demo.receipts import Receipt, Undone, receipts_for, undone_of
from billing_app.demo.stage import Stage
from billing_app.demo.usage import reports_of_day
from billing_app.domain.periods import bounds, next_period, period_of, previous_period
from billing_app.services.usage.recording import UsageReport

MONTHS = 12
_DAY = timedelta(days=1)
# After the last usage of the month has come in.
_RUN_AT = timedelta(hours=6, minutes=15)
_COLLECTED_AT = timedelta(minutes=10)
_LATELY = timedelta(days=10)


class Deed(NamedTuple):
    """Something that is done at a moment."""

    at: datetime
    do: Callable[[Stage], None]


class Story:
    """Everything that has happened by `today`; the same for the same `today`.

    Deeds are told in order of time. What happens on a day of the past does not depend on the
    time of day of `today`.
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

    def deeds(self) -> list[Deed]:
        """What has happened, in order of time; at one moment usage comes before its invoices."""
        deeds = [*self._plans(), *self._customers(), *self._usage(), *self._invoices(), *self._payments()]
        return sorted((deed for deed in deeds if deed.at <= self.today), key=lambda deed: deed.at)

    def _plans(self) -> Iterator[Deed]:
        yield Deed(self.opening, partial(Stage.set_up, plans=PLANS))
        yield Deed(self._moment(PILOT_ARCHIVED_IN, 1, 14), partial(Stage.archive, name="Pilot"))
        yield Deed(
            self._moment(NEW_GROWTH_IN, 1, 8), partial(Stage.replace_plan, terms=NEW_GROWTH, version=2)
        )

    def _customers(self) -> Iterator[Deed]:
        for key, customer in self.customers.items():
            start = self.months[customer.month]
            yield Deed(self.joined[key], partial(Stage.join, customer=customer, start_period=start))
        for move in MOVES:
            yield Deed(
                self._moment(move.month - 1, 18, 13),
                partial(Stage.move, key=move.key, plan=move.plan, effective_from=self.months[move.month]),
            )
        for pause in PAUSES:
            yield Deed(
                self._moment(pause.month, pause.first_day, 10),
                partial(Stage.set_status, key=pause.key, status="suspended"),
            )
            if pause.last_day:
                yield Deed(
                    self._moment(pause.month, pause.last_day, 10),
                    partial(Stage.set_status, key=pause.key, status="active"),
                )

    def _usage(self) -> Iterator[Deed]:
        """What gateways collected; at once what a backdated contract had used; late what was held up."""
        for days in self._collections():
            at = min(_midnight(days[-1] + _DAY) + _COLLECTED_AT, self.today)
            yield Deed(at, partial(Stage.record, reports=self._collected(days)))
        for key in BACKDATED:
            yield Deed(
                self.joined[key] + timedelta(minutes=20),
                partial(Stage.record, reports=self._used_before_joining(self.customers[key])),
            )
        for outage in OUTAGES:
            at = bounds(self.months[outage.month])[1] + timedelta(days=outage.delay, hours=9)
            yield Deed(at, partial(Stage.record, reports=self._held_up(outage)))

    def _collections(self) -> Iterator[list[date]]:
        """The days since the first month, by when they are collected: every third night and at a
        month's end, lately every night. (Every night of a year takes half as long again to load.)"""
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
            if self.joined[customer.key].date() < day + self._counted_from(customer) and not any(
                outage.key == customer.key and day in self._days_of(outage) for outage in OUTAGES
            ):
                yield from self._used(customer, day)

    def _counted_from(self, customer: DemoCustomer) -> timedelta:
        """A backdated contract's day of joining is collected, any other's is not."""
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
        """The day's events, but none while suspended, after a cancellation or still to come."""
        month = self.months.index(period_of(_midnight(day)))
        gone = any(move.key == customer.key and not move.plan and month >= move.month for move in MOVES)
        for report in () if gone else reports_of_day(customer, day, month):
            assert isinstance(report.occurred_at, datetime)
            if report.occurred_at <= self.today and not self._suspended(customer, report.occurred_at):
                yield report

    def _suspended(self, customer: DemoCustomer, moment: datetime) -> bool:
        return any(
            pause.key == customer.key
            and self._moment(pause.month, pause.first_day, 10) <= moment
            and (not pause.last_day or moment < self._moment(pause.month, pause.last_day, 10))
            for pause in PAUSES
        )

    def _invoices(self) -> Iterator[Deed]:
        for key in BACKDATED:
            period = self.months[self.customers[key].month]
            yield Deed(self.issued_at(key, period), partial(Stage.invoice, key=key, period_start=period))
        for period in self.months[:MONTHS]:
            at = min(bounds(period)[1] + _RUN_AT, self.today)
            yield Deed(at, partial(Stage.invoice_everyone, period_start=period))

    def issued_at(self, key: str, period: date) -> datetime:
        """When the customer's invoice for the month is made."""
        customer = self.customers[key]
        if key in BACKDATED and period == self.months[customer.month]:
            return self.joined[key] + timedelta(hours=1)
        return bounds(period)[1] + _RUN_AT

    def _payments(self) -> Iterator[Deed]:
        receipts, undone = self.receipts()
        booked = defaultdict(list)
        for receipt in receipts:
            booked[receipt.booked_at].append(receipt)
        for at, together in booked.items():
            yield Deed(at, partial(Stage.book, receipts=together))
        for each in undone:
            yield Deed(each.at, partial(Stage.undo, undone=each))

    def receipts(self) -> tuple[list[Receipt], list[Undone]]:
        """What customers pay, in time or not, and what of it is undone; also what is still to come."""
        receipts: list[Receipt] = []
        undone: list[Undone] = []
        for key, customer in self.customers.items():
            for month in range(customer.month, MONTHS):
                period = self.months[month]
                paid = list(receipts_for(customer, month, period, self.issued_at(key, period).date()))
                receipts += paid
                undone += undone_of(customer, month, paid)
        return receipts, undone

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

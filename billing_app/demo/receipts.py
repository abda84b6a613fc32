"""When the demo's customers pay, and how much of an invoice, computed from their payment habits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from billing_app.demo.customers import DISPUTED, RETURNED, STOPPED_PAYING, DemoCustomer

# Payments are recorded in the afternoon of Tuesdays and Fridays.
_RECORDING_DAYS = (1, 4)
_RECORDING_TIME = time(15, 20, tzinfo=UTC)
# For each part payment: the earliest and latest day after the issue, and the percentage paid by then.
_HABITS = {
    "prompt": ((4, 13, 100),),
    "monthend": ((21, 29, 100),),
    "late": ((33, 66, 100),),
    "halves": ((2, 8, 45), (36, 52, 100)),
    "part": ((2, 8, 40),),
}
_METHODS = {
    "prompt": "Card",
    "monthend": "ACH transfer",
    "late": "Check",
    "halves": "Wire transfer",
    "part": "Card",
}


class Receipt(NamedTuple):
    """Money received for one invoice: the part of its total from one percentage to another."""

    customer_key: str
    period_start: date
    from_percent: int
    to_percent: int
    received_on: date
    method: str
    reference: str
    idempotency_key: str

    @property
    def recorded_at(self) -> datetime:
        """Return the next time at which payments are recorded."""
        day = self.received_on
        while day.weekday() not in _RECORDING_DAYS:
            day += timedelta(days=1)
        return datetime.combine(day, _RECORDING_TIME)


class Reversal(NamedTuple):
    """The reversal of a receipt, with its reason."""

    receipt: Receipt
    at: datetime
    reason: str


def receipts_for(
    customer: DemoCustomer, month: int, period_start: date, issued_on: date
) -> Iterator[Receipt]:
    """Yield what the customer pays, on time or late, for its invoice of a month."""
    if month >= STOPPED_PAYING.get(customer.key, month + 1) or (customer.key, month) in DISPUTED:
        return
    dice = random.Random(f"{customer.key} pays {period_start}")
    paid = 0
    for first, last, percent in _HABITS[customer.pays]:
        day = issued_on + timedelta(days=dice.randint(first, last))
        yield _receipt(customer, period_start, paid, percent, day, dice)
        paid = percent
    for returned in RETURNED:
        if (returned.key, returned.month) == (customer.key, month) and returned.again_after:
            again = day + timedelta(days=returned.again_after)
            yield _receipt(customer, period_start, 0, 100, again, dice)


def reversals_for(customer: DemoCustomer, month: int, receipts: list[Receipt]) -> Iterator[Reversal]:
    """Yield the reversals among the receipts of the customer's invoice of a month."""
    for returned in RETURNED:
        if (returned.key, returned.month) == (customer.key, month):
            reversed_at = receipts[0].recorded_at + timedelta(days=3, hours=-4)
            yield Reversal(receipts[0], reversed_at, returned.reason)


def _receipt(
    customer: DemoCustomer, period_start: date, paid: int, percent: int, day: date, dice: random.Random
) -> Receipt:
    is_european = customer.plan == "Growth Europe"
    method = "SEPA transfer" if is_european else _METHODS[customer.pays]
    number = f"{dice.randrange(10**8):08d}"
    reference = f"{method.split()[0].upper()} {day:%y%m%d}-{number}"
    return Receipt(
        customer.key, period_start, paid, percent, day, method, reference, f"bank-{day:%Y%m%d}-{number}"
    )

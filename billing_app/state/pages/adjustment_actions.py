"""The actions on a customer's discounts, one-off items and credit: handlers that open and save dialogs."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.actor import Actor
from billing_app.domain.money import Amount
from billing_app.domain.periods import label, next_period, previous_period
from billing_app.errors import Conflict, Invalid
from billing_app.services.adjustments import credit, discounts, one_off_items, refunds
from billing_app.services.adjustments.rows import DiscountRow, RefundRow
from billing_app.services.customers import customers
from billing_app.services.customers.rows import CustomerRow
from billing_app.state.kit import address, text
from billing_app.state.kit.forms import (
    Form,
    call_once,
    new_key,
    open_dialog,
    read_date,
    read_number,
    read_period,
    read_text,
    submitting,
)
from billing_app.state.kit.lists import Option
from billing_app.state.kit.numbers import read_decimal
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.pages.customer import CustomerState
from billing_app.state.pages.money import open_money_dialog, read_money
from billing_app.state.presenters.adjustments import describe_discount
from billing_app.wording.refusals import CREDIT_CHANGED
from billing_app.wording.sentences import fill

DISCOUNT, END_DISCOUNT = "add-discount", "end-discount"
ITEM, REVERSE_ITEM = "one-off-item", "reverse-item"
REFUND, REVERSE_REFUND = "record-refund", "reverse-refund"
NO_END = ""
CREDIT = "credit"
_MONTHS_AHEAD = 24
_MONTHS_MAX = 60


class AdjustmentsState(rx.State):
    """The dialog about discounts, one-off items or credit that is open on a customer's page."""

    form: Form = Form()
    months: rx.Field[list[Option]] = rx.field(default_factory=list)
    last_months: rx.Field[list[Option]] = rx.field(default_factory=list)
    is_credit: bool = False
    note: str = ""

    @rx.event
    async def open_discount(self) -> Any:
        """Open the dialog for a discount, which can start in any open month."""
        read = await call(self, _read_months, _key(self))
        self.months = _month_options(read.open_period, read.today)
        self.last_months = [Option(NO_END, "No end"), *self.months]
        start = {
            "name": "",
            "percent": "",
            "amount": "",
            "applies_to": "all",
            "first_period": _default_month(self.months, read.today),
            "last_period": NO_END,
        }
        hidden = {"key": read.customer.key}
        return open_dialog(
            self, DISCOUNT, f"Add a discount for {read.customer.name}", start=start, hidden=hidden
        )

    @rx.event
    async def add_discount(self, form: dict[str, Any]) -> Any:
        """Give the customer a discount."""
        async with submitting(self, form) as submission:
            last = read_text(form, "last_period")
            row = await call_once(
                self,
                form,
                discounts.create_discount,
                read_text(form, "key"),
                name=read_text(form, "name"),
                percent=_read_optional(self, form, "percent"),
                amount=_read_optional(self, form, "amount"),
                applies_to=read_text(form, "applies_to"),
                first_period=read_period(form, "first_period"),
                last_period=read_period(form, "last_period") if last != NO_END else None,
            )
            submission.succeed(
                f"{row.name} added: {describe_discount(row)} from {text.month(row.first_period)}",
                CustomerState.load,
            )
        return submission.events

    @rx.event
    async def open_end_discount(self, number: int) -> Any:
        """Open the dialog that sets the last month of a discount."""
        read = await call(self, _read_months, _key(self))
        discount = next((row for row in read.discounts if row.number == number), None)
        if discount is None or discount.last_period is not None:
            return [rx.toast.info("This discount already has a last month"), CustomerState.load]
        first = max(discount.first_period, read.open_period)
        self.last_months = _month_options(first, max(read.today, first))
        if discount.first_period >= read.open_period:
            never = previous_period(discount.first_period)
            self.last_months = [*self.last_months, Option(label(never), "Never apply it")]
        return open_dialog(
            self,
            END_DISCOUNT,
            f"Set the last month of {discount.name}",
            start={"last_period": _default_month(self.last_months, read.today)},
            hidden={"key": read.customer.key, "discount": number},
        )

    @rx.event
    async def end_discount(self, form: dict[str, Any]) -> Any:
        """Set the last month of a discount."""
        async with submitting(self, form) as submission:
            row = await call_once(
                self,
                form,
                discounts.end_discount,
                read_text(form, "key"),
                read_number(form, "discount"),
                last_period=read_period(form, "last_period"),
            )
            submission.succeed(_describe_end(row), CustomerState.load)
        return submission.events

    @rx.event
    async def open_charge(self) -> Any:
        """Open the dialog that charges the customer once."""
        return await _open_item(self, is_credit=False)

    @rx.event
    async def open_credit(self) -> Any:
        """Open the dialog that credits the customer once."""
        return await _open_item(self, is_credit=True)

    @rx.event
    async def record_item(self, form: dict[str, Any]) -> Any:
        """Charge or credit the customer once."""
        async with submitting(self, form) as submission:
            is_credit = read_text(form, "direction") == CREDIT
            price = _read_price(self, form)
            row = await call(
                self,
                one_off_items.record_item,
                read_text(form, "key"),
                description=read_text(form, "description"),
                quantity=read_decimal(self, form, "quantity"),
                unit_price=f"-{price}" if is_credit else price,
                item_date=read_date(form, "date"),
                idempotency_key=read_text(form, "idempotency_key"),
            )
            done = "credited" if is_credit else "charged"
            submission.succeed(
                f"{row.description} {done} on the invoice for {text.month(row.billing_period)}",
                CustomerState.load,
            )
        return submission.events

    @rx.event
    async def open_reverse_item(self, item_id: int) -> Any:
        """Open the dialog that asks why a one-off item is reversed."""
        hidden = {"key": _key(self), "item_id": item_id}
        return open_dialog(
            self, REVERSE_ITEM, "Reverse this one-off item?", start={"reason": ""}, hidden=hidden
        )

    @rx.event
    async def reverse_item(self, form: dict[str, Any]) -> Any:
        """Reverse a whole one-off item."""
        async with submitting(self, form) as submission:
            row = await call_once(
                self,
                form,
                one_off_items.reverse_item,
                read_text(form, "key"),
                read_number(form, "item_id"),
                reason=read_text(form, "reason"),
            )
            submission.succeed(
                f"{row.description} reversed on the invoice for {text.month(row.billing_period)}",
                CustomerState.load,
            )
        return submission.events

    @rx.event
    async def open_refund(self) -> Any:
        """Open the dialog with the credit and the viewer's date."""
        customer, left, today = await call(self, _read_credit, _key(self), viewer_zone(self))
        self.note = f"{customer.name} has {text.money(*left)} of credit."
        return open_money_dialog(
            self,
            REFUND,
            "Record a refund",
            left,
            start={"refunded_on": today.isoformat()},
            hidden={"key": customer.key},
        )

    @rx.event
    async def refund(self, form: dict[str, Any]) -> Any:
        """Record the refund, unless the credit has changed since the dialog opened."""
        async with submitting(self, form) as submission:
            row = await call(
                self,
                _record_refund,
                read_text(form, "key"),
                **read_money(self, form),
                refunded_on=read_date(form, "refunded_on"),
                expected_credit=read_text(form, "version"),
            )
            submission.succeed(
                f"Refund of {text.money(row.amount_minor, row.currency)} recorded", CustomerState.load
            )
        return submission.events

    @rx.event
    async def open_reverse_refund(self, refund_id: int) -> Any:
        """Open the dialog that asks why a refund is reversed."""
        hidden = {"key": _key(self), "refund_id": refund_id}
        return open_dialog(self, REVERSE_REFUND, "Reverse this refund?", start={"reason": ""}, hidden=hidden)

    @rx.event
    async def reverse_refund(self, form: dict[str, Any]) -> Any:
        """Reverse a whole refund."""
        async with submitting(self, form) as submission:
            row = await call_once(
                self,
                form,
                refunds.reverse_refund,
                read_text(form, "key"),
                read_number(form, "refund_id"),
                reason=read_text(form, "reason"),
            )
            submission.succeed(
                f"Refund of {text.money(row.amount_minor, row.currency)} reversed", CustomerState.load
            )
        return submission.events


def _key(state: rx.State) -> str:
    return address.path_segment(state, 1)


class _Months(NamedTuple):
    """A customer's discounts, its oldest open month, and today (UTC)."""

    customer: CustomerRow
    discounts: tuple[DiscountRow, ...]
    open_period: date
    today: date


def _read_months(session: Session, actor: Actor, key: str) -> _Months:
    return _Months(
        customer=customers.get_customer(session, actor, key),
        discounts=discounts.list_discounts(session, actor, key),
        open_period=discounts.get_open_period(session, actor, key),
        today=now(session).date(),
    )


def _month_options(first: date, today: date) -> list[Option]:
    """Return the months from `first` until two years after today, at most 60."""
    last = today.replace(year=today.year + _MONTHS_AHEAD // 12, day=1)
    options: list[Option] = []
    month = first
    while month <= last and len(options) < _MONTHS_MAX:
        options.append(Option(label(month), text.month(month)))
        month = next_period(month)
    return options


def _default_month(options: list[Option], today: date) -> str:
    """Return the current month if it is an option, and otherwise the first one."""
    current = label(today.replace(day=1))
    values = [option.value for option in options]
    return current if current in values else values[0]


def _read_optional(state: rx.State, form: object, name: str) -> str | None:
    return read_decimal(state, form, name) if read_text(form, name).strip() else None


def _describe_end(row: DiscountRow) -> str:
    assert row.last_period is not None
    if row.last_period < row.first_period:
        return f"{row.name} never applies"
    return f"{row.name} ends in {text.month(row.last_period)}"


async def _open_item(state: AdjustmentsState, *, is_credit: bool) -> Any:
    customer, today = await call(state, _read_today, _key(state))
    state.is_credit = is_credit
    start = {"description": "", "quantity": "1", "unit_price": "", "date": today.isoformat()}
    direction = CREDIT if is_credit else "charge"
    hidden = {"key": customer.key, "direction": direction, "idempotency_key": new_key()}
    title = f"{'Credit' if is_credit else 'Charge'} {customer.name} once"
    return open_dialog(state, ITEM, title, start=start, hidden=hidden)


def _read_today(session: Session, actor: Actor, key: str) -> tuple[CustomerRow, date]:
    return customers.get_customer(session, actor, key), now(session).date()


def _read_price(state: rx.State, form: object) -> str:
    """Return the price per unit, above zero: the dialog says whether it is charged or credited."""
    price = read_decimal(state, form, "unit_price")
    if Decimal(price) <= 0:
        raise Invalid("unit_price", "not_positive")
    return price


def _read_credit(
    session: Session, actor: Actor, key: str, zone: ZoneInfo
) -> tuple[CustomerRow, Amount, date]:
    """Return the customer, its credit, and today in the viewer's zone."""
    customer = customers.get_customer(session, actor, key)
    return customer, credit.get_credit(session, actor, key), now(session).astimezone(zone).date()


def _record_refund(session: Session, actor: Actor, /, key: str, **details: Any) -> RefundRow:
    """Record the refund. Convert errors about the credit so that the form shows them at the amount."""
    try:
        return refunds.record_refund(session, actor, key, **details)
    except Conflict as error:
        left = error.facts.get("credit")
        if error.code == "stale" and isinstance(left, Amount):
            error.facts["explanation"] = fill(CREDIT_CHANGED, {"credit": left})
        elif error.code == "insufficient_credit" and isinstance(left, Amount) and left.amount_minor:
            raise Invalid("amount", "exceeds_credit", credit=left) from error
        raise

"""Random lives of a customer: whatever happens and in whatever order, each component is charged once.

A second customer, for whom everything is known before the first invoice, is charged the same.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest
from sqlmodel import Session

from billing_app.domain.periods import label, next_period
from billing_app.errors import BillingError
from billing_app.jobs.invoice_runs import run_invoices
from billing_app.jobs.verification import verify
from billing_app.services.adjustments.discounts import create_discount, end_discount
from billing_app.services.adjustments.one_off_items import list_items, record_item, reverse_item
from billing_app.services.customers.subscriptions import set_plan
from billing_app.services.invoices.closing import close_period
from billing_app.services.invoices.filters import InvoiceFilter
from billing_app.services.invoices.invoices import get_invoice, list_invoices
from billing_app.services.invoices.rows import InvoiceDetail
from billing_app.services.plans.charges import ChargeTerms, TierTerms
from billing_app.services.plans.plans import create_plan
from billing_app.services.usage.correction_rows import CorrectionReport
from billing_app.services.usage.corrections import correct_usage
from billing_app.services.usage.recording import UsageReport, record_usage
from tests.billing.shop import Shop
from tests.conftest import Clock
from tests.factories import make_meter

MONTHS = [date(2026, month, 1) for month in range(2, 9)]
# Nothing happens in it, but it bills what happened while the month before was being invoiced.
LAST_MONTH = date(2026, 9, 1)
STEPS_A_MONTH = 14
# What a step may be refused with. Anything else is a bug.
REFUSALS = {
    "no_plan", "usage_recorded", "nothing_to_correct", "too_many_changes", "discount_ended", "period_closed",
    "item_reversed",
}  # fmt: skip
SEATS = ChargeTerms("per_unit", "seats", included_units=2, unit_price="10")
TIERS = (TierTerms("0.02", 100), TierTerms("0.015", 1000), TierTerms("0.01", None, "5"))
PLANS = {
    "Simple": [ChargeTerms("per_unit", included_units=300, unit_price="0.0125"), SEATS],
    "Tiered": [ChargeTerms("graduated", tiers=TIERS), ChargeTerms("volume", "users", tiers=TIERS)],
    "Packed": [ChargeTerms("package", included_units=7, package_size="4.5", package_price="3"), SEATS],
    "Volume": [ChargeTerms("volume", tiers=TIERS), ChargeTerms("per_unit", "users", 1, "2.005")],
    "Flat": [],
}


@dataclass
class Facts:
    """What is true in the end: the events as they count now, and all changes of plan and discounts."""

    events: dict[str, UsageReport] = field(default_factory=dict)
    plans: list[tuple[int | None, date]] = field(default_factory=list)
    discounts: list[dict[str, Any]] = field(default_factory=list)
    ends: list[tuple[int, date]] = field(default_factory=list)


class Life:
    """A customer to whom something happens at random, month after month."""

    def __init__(self, shop: Shop, clock: Clock, seed: int) -> None:
        self.shop, self.clock, self.chance = shop, clock, random.Random(seed)
        self.facts = Facts()
        self.numbers = iter(range(1, 10_000))
        self.plan_ids = [self._create_plan(name, charges) for name, charges in PLANS.items()]
        self.customer_id = shop.customer("life", str(MONTHS[0]), self.plan_ids[0])
        self.steps: list[Callable[[date], None]] = [
            *[self.use] * 6, *[self.correct] * 3, self.change_plan, self.give_discount, self.end_discount,
            self.charge_item, self.reverse_item,
        ]  # fmt: skip

    def _create_plan(self, name: str, charges: Sequence[ChargeTerms]) -> int:
        with self.shop.database.transaction(self.shop.actor) as session:
            made = create_plan(session, self.shop.actor, name=name, monthly_price="29", charges=charges)
        return made.plan_id

    def live(self) -> None:
        """Live through all months. Each is invoiced after it, or together with later ones."""
        due: list[date] = []
        for period_start in MONTHS:
            for _ in range(STEPS_A_MONTH):
                self._move_to(period_start)
                self.chance.choice(self.steps)(period_start)
            self.clock.set(*next_period(period_start).timetuple()[:2])
            due.append(period_start)
            if self.chance.random() < 0.7 or period_start == MONTHS[-1]:
                for each in due:
                    self._invoice(each)
                due = []
        self.clock.set(2026, 10)
        run_invoices(self.shop.database, self.shop.actor, LAST_MONTH)

    def _move_to(self, period_start: date) -> None:
        """Move the clock on to a later moment of the month, in case that it isn't that late yet."""
        day = self.chance.randint(1, 28)
        if day > self.clock().day or self.clock().month != period_start.month:
            self.clock.set(period_start.year, period_start.month, day)

    def _invoice(self, period_start: date) -> None:
        """Generate the invoice alone or in a run, or after a process was killed that only closed the month."""
        database, actor = self.shop.database, self.shop.actor
        if self.chance.random() < 0.3:
            with database.transaction(actor) as session:
                close_period(session, actor, period_start=period_start, customer_ids=[self.customer_id])
            for _ in range(3):
                self.use(period_start)
                self.correct(period_start)
        if self.chance.random() < 0.5:
            assert not run_invoices(database, actor, period_start).failed
            return
        try:
            self.shop.invoice("life", label(period_start))
        except BillingError as error:
            if error.code != "nothing_to_invoice":
                raise

    def attempt(self, work: Callable[[Session], object]) -> bool:
        """Do something in a transaction. Return whether it was done rather than refused."""
        try:
            with self.shop.database.transaction(self.shop.actor) as session:
                work(session)
        except BillingError as error:
            if error.code not in REFUSALS:
                raise
            return False
        return True

    def use(self, period_start: date) -> None:
        """Report usage of this month or, late, of an earlier one."""
        first = self.chance.choice([period_start] * 3 + [each for each in MONTHS if each <= period_start])
        day = first + timedelta(self.chance.randint(0, (min(next_period(first), self._today()) - first).days))
        meter = self.chance.choice(["usage", "usage", "seats", "users"])
        quantity = {"usage": f"{self.chance.randint(0, 600_000_000)}e-6", "users": None}
        item = f"user {self.chance.randint(1, 8)}" if meter == "users" else None
        at = f"{min(day, self._today())}T{self.chance.randint(0, 11):02d}:59:59.999999Z"
        key = f"event {next(self.numbers)}"
        report = UsageReport("life", key, quantity.get(meter, self.chance.randint(0, 30)), at, meter, item)
        if self.attempt(lambda session: record_usage(session, self.shop.actor, report)):
            self.facts.events[key] = report._replace(quantity=1 if item else report.quantity)

    def correct(self, period_start: date) -> None:
        """Correct an event, at times to zero and back."""
        if not self.facts.events:
            return
        key, event = self.chance.choice(list(self.facts.events.items()))
        quantity = (
            self.chance.randint(0, 1) if event.item else self.chance.choice([0, 3, "12.5", "700.000001"])
        )
        report = CorrectionReport("life", key, quantity, "A mistake.", f"fix {next(self.numbers)}")
        if self.attempt(lambda session: correct_usage(session, self.shop.actor, report)):
            self.facts.events[key] = event._replace(quantity=quantity)

    def change_plan(self, period_start: date) -> None:
        plan_id = self.chance.choice([*self.plan_ids, None])
        day = period_start + timedelta(self.chance.randint(0, 40))

        def work(session: Session) -> None:
            set_plan(
                session, self.shop.actor, "life", plan_id=plan_id, effective_from=day, confirm_unpriced=True
            )

        if self.attempt(work):
            self.facts.plans.append((plan_id, day))

    def give_discount(self, period_start: date) -> None:
        terms = {
            "name": f"No. {len(self.facts.discounts) + 1}",
            "applies_to": self.chance.choice(["all", "base", "usage"]),
            "first_period": self.chance.choice([period_start, next_period(period_start)]),
            **self.chance.choice([{"percent": "12.5"}, {"percent": "100"}, {"amount": "17.77"}]),
        }
        if self.attempt(lambda session: create_discount(session, self.shop.actor, "life", **terms)):
            self.facts.discounts.append(terms)

    def end_discount(self, period_start: date) -> None:
        if not self.facts.discounts:
            return
        number, last = self.chance.randint(1, len(self.facts.discounts)), self.chance.choice(MONTHS)
        if self.attempt(
            lambda session: end_discount(session, self.shop.actor, "life", number, last_period=last)
        ):
            self.facts.ends.append((number, last))

    def charge_item(self, period_start: date) -> None:
        """Charge or credit something, dated in any month."""
        price, key = self.chance.choice(["75", "-40.005", "-300"]), f"item {next(self.numbers)}"
        day = self.chance.choice([each for each in MONTHS if each <= next_period(period_start)])
        self.attempt(
            lambda session: record_item(
                session, self.shop.actor, "life", description="Something", unit_price=price, item_date=day,
                idempotency_key=key,
            )
        )  # fmt: skip

    def reverse_item(self, period_start: date) -> None:
        def work(session: Session) -> None:
            for item in list_items(session, self.shop.actor, "life").items:
                if item.reverses_item_id is None and item.reversed_by_item_id is None:
                    reverse_item(session, self.shop.actor, "life", item.item_id, reason="A mistake.")
                    return

        self.attempt(work)

    def _today(self) -> date:
        return self.clock().date()


def relive(shop: Shop, life: Life) -> None:
    """Have another customer be charged for the same, with everything known before its first invoice."""
    actor, facts = shop.actor, life.facts
    shop.customer("twin", str(MONTHS[0]), life.plan_ids[0])
    with shop.database.transaction(actor) as session:
        for plan_id, day in facts.plans:
            set_plan(session, actor, "twin", plan_id=plan_id, effective_from=day, confirm_unpriced=True)
        for terms in facts.discounts:
            create_discount(session, actor, "twin", **terms)
        for number, last in facts.ends:
            end_discount(session, actor, "twin", number, last_period=last)
    for event in facts.events.values():
        if event.quantity not in (0, "0e-6"):
            with shop.database.transaction(actor) as session:
                record_usage(session, actor, event._replace(customer="twin"))
    for period_start in [*MONTHS, LAST_MONTH]:
        run_invoices(shop.database, actor, period_start)


def invoices_of(shop: Shop, key: str) -> Iterator[InvoiceDetail]:
    with shop.database.transaction(shop.actor) as session:
        for row in list_invoices(session, shop.actor, InvoiceFilter(customer=key), limit=50).items:
            yield get_invoice(session, shop.actor, row.number)


def charged(shop: Shop, key: str) -> Counter[tuple[object, ...]]:
    """Return what each component of each month's bill was charged, over all invoices. Zeros are left out."""
    sums: Counter[tuple[object, ...]] = Counter()
    for invoice in invoices_of(shop, key):
        for line in invoice.lines:
            if line.kind != "one_off":
                sums[line.component] += line.amount_minor
    return Counter({component: amount for component, amount in sums.items() if amount})


@pytest.fixture
def metered(shop: Shop, clock: Clock) -> Shop:
    """Return a shop with three meters, at the start of the first month."""
    make_meter(shop.database, "seats", "max")
    make_meter(shop.database, "users", "unique")
    clock.set(MONTHS[0].year, MONTHS[0].month)
    return shop


@pytest.mark.parametrize("seed", range(6))
def test_random_life_is_charged_like_one_without_surprises(metered: Shop, clock: Clock, seed: int) -> None:
    life = Life(metered, clock, seed)
    life.live()
    kinds = {line.kind for invoice in invoices_of(metered, "life") for line in invoice.lines}
    assert kinds == {"base", "overage", "late_usage", "discount", "one_off"}
    assert verify(metered.database, metered.actor).discrepancies == []
    relive(metered, life)
    assert charged(metered, "life") == charged(metered, "twin")
    assert verify(metered.database, metered.actor).discrepancies == []

"""The plans: what is sold, in versions whose terms never change."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby
from typing import Any

import reflex as rx

from billing_app.domain.money import major_text, plain, to_major
from billing_app.domain.rating import rate
from billing_app.services.plans import plans
from billing_app.services.plans.rows import PlanRow
from billing_app.state.kit import address, text
from billing_app.state.kit.charts import Curve, curve, point
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import Form, open_dialog, read_number, read_text, submitting
from billing_app.state.kit.lists import Pages, parse_listing
from billing_app.state.kit.numbers import read_decimal, viewer_notation
from billing_app.state.kit.session import call
from billing_app.state.presenters.plans import PlanItem, VersionItem

ROWS = 50
PLAN, ARCHIVE = "plan", "archive-plan"
ARCHIVED = {"": False, "archived": True, "all": None}
# Where the curve has its points, in multiples of the included units; without any, of these.
_STEPS = (0, 1, 2, 3)
_UNITS_WITHOUT_ALLOWANCE = Decimal(1000)


class PlansState(rx.State):
    """A page of plans, each with its versions."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[PlanItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    show: str = ""
    form: Form = Form()

    @rx.event
    async def load(self) -> None:
        """Show the plans that the address asks for."""
        listing = parse_listing(self, "/plans", "show")
        self.show = listing.filters["show"]
        async with loading(self):
            page = await call(
                self,
                plans.list_plans,
                archived=ARCHIVED.get(self.show, False),
                limit=ROWS,
                cursor=listing.cursor,
            )
            versions = groupby(page.items, lambda plan: plan.name.lower())
            self.rows = [_item(*same_name) for _, same_name in versions]
            self.pages = listing.pages(page.next_cursor)

    @rx.event
    async def open_new(self) -> Any:
        """Open the dialog for a plan with a name of its own."""
        terms = {"monthly_price": "", "currency": "USD", "included_units": "", "overage_unit_price": ""}
        return open_dialog(self, PLAN, "New plan", start={"name": "", **terms})

    @rx.event
    async def open_version(self, plan_id: int) -> Any:
        """Open it for the next version of a plan, with the terms of this one."""
        plan = await call(self, plans.get_plan, plan_id)
        notation = viewer_notation(self)
        terms = {
            "monthly_price": notation.write(major_text(plan.monthly_price_minor, plan.currency)),
            "currency": plan.currency,
            "included_units": notation.write(plain(plan.included_units)),
            "overage_unit_price": notation.write(plain(plan.overage_unit_price)),
        }
        return open_dialog(self, PLAN, f"New version of {plan.name}", start=terms, hidden={"name": plan.name})

    @rx.event
    async def save(self, form: dict[str, Any]) -> Any:
        """Save terms for good: a new plan, or the next version of one."""
        async with submitting(self, form) as submission:
            made = await call(
                self,
                plans.create_plan,
                name=read_text(form, "name"),
                currency=read_text(form, "currency"),
                monthly_price=read_decimal(self, form, "monthly_price"),
                included_units=read_decimal(self, form, "included_units"),
                overage_unit_price=read_decimal(self, form, "overage_unit_price"),
            )
            submission.succeed(f"{text.plan(made.name, made.version)}, can be sold now", PlansState.load)
        return submission.events

    @rx.event
    async def open_archive(self, plan_id: int) -> Any:
        """Ask before a version is archived."""
        plan = await call(self, plans.get_plan, plan_id)
        named = text.plan(plan.name, plan.version)
        return open_dialog(self, ARCHIVE, f"Archive {named}?", hidden={"plan_id": plan.plan_id})

    @rx.event
    async def archive(self, form: dict[str, Any]) -> Any:
        """Keep everybody new off a version."""
        async with submitting(self, form) as submission:
            plan = await call(self, plans.archive_plan, read_number(form, "plan_id"))
            submission.succeed(f"{text.plan(plan.name, plan.version)}, is archived", PlansState.load)
        return submission.events


def _item(newest: PlanRow, *earlier: PlanRow) -> PlanItem:
    count = len(earlier)
    return PlanItem(
        plan_id=newest.plan_id,
        name=newest.name,
        version=f"Version {newest.version}",
        price=text.money(newest.monthly_price_minor, newest.currency),
        included=text.quantity(newest.included_units),
        overage=text.exact_money(newest.overage_unit_price, newest.currency),
        customers=_customers(newest),
        customers_href=address.link("/customers", plan=text.plan(newest.name, newest.version)),
        is_archived=newest.archived_at is not None,
        symbol=text.currency_symbol(newest.currency),
        curve=_curve(newest),
        earlier=[_version(plan) for plan in earlier],
        earlier_count=f"{count} earlier {'version' if count == 1 else 'versions'}" if count else "",
    )


def _version(plan: PlanRow) -> VersionItem:
    price = text.money(plan.monthly_price_minor, plan.currency)
    overage = text.exact_money(plan.overage_unit_price, plan.currency)
    return VersionItem(
        plan_id=plan.plan_id,
        title=f"Version {plan.version}",
        terms=f"{price}, {text.quantity(plan.included_units)} included, {overage} beyond",
        customers=_customers(plan),
        is_archived=plan.archived_at is not None,
    )


def _customers(plan: PlanRow) -> str:
    count = plan.customers or 0
    return f"{count:,} {'customer' if count == 1 else 'customers'}"


def _curve(plan: PlanRow) -> Curve:
    """What a month costs, for units up to three times what is included."""
    terms = plan.terms
    scale = plan.included_units or _UNITS_WITHOUT_ALLOWANCE
    points = []
    for step in _STEPS:
        units = scale * step
        cost_minor = plan.monthly_price_minor + rate(terms, units).amount_minor
        cost = to_major(cost_minor, plan.currency)
        points.append(point(text.quantity(units), units, cost=(cost, text.money(cost_minor, plan.currency))))
    return curve("cost", points)

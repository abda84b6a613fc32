"""The plans, each with its versions, and the dialogs that create and archive them."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby
from typing import Any

import reflex as rx

from billing_app.domain.money import major_text, round_quantity, to_major
from billing_app.domain.pricing import WHOLE, ZERO, price
from billing_app.domain.terms import Charge
from billing_app.errors import Invalid
from billing_app.services.plans import plans
from billing_app.services.plans.rows import PlanRow
from billing_app.state.kit import address, text
from billing_app.state.kit.charts import Curve, curve, point
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import call_once, open_dialog, read_number, read_text, submitting
from billing_app.state.kit.lists import Pages, parse_listing
from billing_app.state.kit.numbers import read_decimal, viewer_notation
from billing_app.state.kit.session import call
from billing_app.state.pages import plan_editor
from billing_app.state.pages.plan_editing import PlanEditing, show_examples, start_editing
from billing_app.state.presenters.plans import ChargeItem, PlanItem, VersionItem
from billing_app.wording.prices import describe_charge, describe_plan
from billing_app.wording.sentences import capitalized
from billing_app.wording.values import counted

ROWS = 50
PLAN, ARCHIVE = "plan", "archive-plan"
ARCHIVED = {"": False, "archived": True, "all": None}
# The curve has points at these multiples of the included units, or of 1,000 units if there are none.
_STEPS = (0, 1, 2, 3)
# With tiers, it has points at eighths of the last bound, up to one and a half times this bound.
_TIER_STEPS = 12
_UNITS_WITHOUT_INCLUDED = Decimal(1000)


class PlansState(PlanEditing, rx.State):
    """A page of plans, each with its versions."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[PlanItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    show: str = ""

    @rx.event
    async def load(self) -> None:
        """Show the page of plans in the address."""
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
            self.rows = [plan_item(*same_name) for _, same_name in versions]
            self.pages = listing.pages(page.next_cursor)

    @rx.event
    async def open_new(self) -> Any:
        """Open the dialog for a new plan."""
        terms = {"name": "", "monthly_price": "", "currency": "USD"}
        return await _open_editor(self, None, "New plan", terms)

    @rx.event
    async def open_version(self, plan_id: int) -> Any:
        """Open the dialog for the next version of a plan, with the terms of the given version."""
        plan = await call(self, plans.get_plan, plan_id)
        price = major_text(plan.monthly_price_minor, plan.currency)
        terms = {"monthly_price": viewer_notation(self).write(price), "currency": plan.currency}
        return await _open_editor(self, plan, f"New version of {plan.name}", terms, name=plan.name)

    @rx.event
    async def save(self, form: dict[str, Any]) -> Any:
        """Create a plan, or the next version of one."""
        async with submitting(self, form) as submission:
            monthly_price = read_decimal(self, form, "monthly_price")
            charges = plan_editor.read_charges(form, viewer_notation(self))
            try:
                plan = await call_once(
                    self,
                    form,
                    plans.create_plan,
                    name=read_text(form, "name"),
                    currency=read_text(form, "currency"),
                    monthly_price=monthly_price,
                    charges=charges.terms,
                )
            except Invalid as error:
                raise charges.at_fields(error) from None
            named = text.plan(plan.name, plan.version)
            message = f"{named} created" if plan.is_new else f"{named} already has these terms"
            submission.succeed(message, PlansState.load)
        return submission.events

    @rx.event
    async def open_archive(self, plan_id: int) -> Any:
        """Ask for confirmation to archive a version."""
        plan = await call(self, plans.get_plan, plan_id)
        named = text.plan(plan.name, plan.version)
        return open_dialog(self, ARCHIVE, f"Archive {named}?", hidden={"plan_id": plan.plan_id})

    @rx.event
    async def archive(self, form: dict[str, Any]) -> Any:
        """Stop new customers from being assigned to a version."""
        async with submitting(self, form) as submission:
            plan = await call_once(self, form, plans.archive_plan, read_number(form, "plan_id"))
            submission.succeed(f"{text.plan(plan.name, plan.version)} archived", PlansState.load)
        return submission.events


async def _open_editor(
    state: PlansState, plan: PlanRow | None, title: str, terms: dict[str, str], **hidden: str
) -> Any:
    """Open the dialog for the terms of a new plan, or of the next version of a plan."""
    values = await start_editing(state, plan)
    opened = open_dialog(state, PLAN, title, start={**terms, **values}, hidden=hidden)
    await show_examples(state)
    return opened


def plan_item(newest: PlanRow, *earlier: PlanRow) -> PlanItem:
    """Return the card of a plan from its newest version and the earlier ones."""
    simple = newest.simple_charge
    meter = newest.charges[0].meter if newest.charges else None
    return PlanItem(
        plan_id=newest.plan_id,
        name=newest.name,
        version=f"Version {newest.version}",
        price=text.money(newest.monthly_price_minor, newest.currency),
        is_simple=simple is not None,
        included=text.quantity(simple.included_units or ZERO) if simple else "",
        overage=text.exact_money(simple.unit_price or ZERO, newest.currency) if simple else "",
        unit=meter.unit if meter else "unit",
        units=text.unit_of(ZERO, meter) if meter else "units",
        charges=[
            ChargeItem(charge.meter.name, capitalized(describe_charge(charge, newest.currency)))
            for charge in newest.charges
        ],
        customers=_customers(newest),
        customers_href=address.link("/customers", plan=text.plan(newest.name, newest.version)),
        is_archived=newest.archived_at is not None,
        symbol=text.currency_symbol(newest.currency),
        curve=_curve(newest),
        earlier=[_version(plan) for plan in earlier],
        earlier_count=counted(len(earlier), "earlier version") if earlier else "",
    )


def _version(plan: PlanRow) -> VersionItem:
    return VersionItem(
        plan_id=plan.plan_id,
        title=f"Version {plan.version}",
        terms=describe_plan(plan.terms),
        customers=_customers(plan),
        is_archived=plan.archived_at is not None,
    )


def _customers(plan: PlanRow) -> str:
    return counted(plan.customers or 0, "customer")


def _curve(plan: PlanRow) -> Curve:
    """Return the monthly cost by units of the first charge."""
    charge = plan.charges[0] if plan.charges else None
    points = []
    for units in _curve_units(charge):
        prices = price(charge, units, WHOLE, plan.currency) if charge else ()
        cost_minor = plan.monthly_price_minor + sum(each.amount_minor for each in prices)
        cost = to_major(cost_minor, plan.currency)
        points.append(point(text.quantity(units), units, cost=(cost, text.money(cost_minor, plan.currency))))
    return curve("cost", points)


def _curve_units(charge: Charge | None) -> list[Decimal]:
    """Return evenly spaced quantities: up to three times the included units, or beyond the last bound."""
    bounds = [tier.up_to for tier in charge.tiers if tier.up_to is not None] if charge else []
    if bounds:
        return [round_quantity(bounds[-1] * step, 8) for step in range(_TIER_STEPS + 1)]
    scale = (charge.included_units if charge else None) or _UNITS_WITHOUT_INCLUDED
    return [scale * step for step in _STEPS]

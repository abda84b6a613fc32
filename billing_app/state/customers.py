"""The list of customers, and the dialog that makes one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.db import now
from billing_app.domain.periods import label, period_of
from billing_app.services import customers, dashboard, plans
from billing_app.services.paging import Page
from billing_app.state import address, text
from billing_app.state.choices import months_around, plan_options, typed_plan
from billing_app.state.errors import LOADING, loading
from billing_app.state.forms import Form, opened, submitting, typed, typed_period
from billing_app.state.lists import Listing, Option, Pages, Sorting, asked
from billing_app.state.rows.customers import CustomerItem
from billing_app.state.session import call, viewer_zone

ROWS = 25
PLANS = 50
NEW = "new-customer"
MONTHS_BACK, MONTHS_AHEAD = 12, 3
NAME_MAX = 200


class CustomersState(rx.State):
    """A page of customers, found by name, email or key, by status and by plan."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[CustomerItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    heads: rx.Field[dict[str, Sorting]] = rx.field(default_factory=dict)
    is_filtered: bool = False
    count: str = ""
    as_of: str = ""
    as_of_utc: str = ""
    plans: rx.Field[list[Option]] = rx.field(default_factory=list)
    can_sell: bool = False

    form: Form = Form()
    offered: rx.Field[list[Option]] = rx.field(default_factory=list)
    months: rx.Field[list[Option]] = rx.field(default_factory=list)
    proposed_key: str = ""

    @rx.event
    async def load(self) -> None:
        """Show the page that the address names."""
        listing = asked(self, "/customers", "search", "status", "plan", "sort")
        self.is_filtered = listing.is_filtered
        async with loading(self):
            read = await call(self, _read, listing)
            zone = viewer_zone(self)
            self.plans = [Option(plan.public_id, text.plan(plan.name, plan.version)) for plan in read.plans]
            self.can_sell = any(plan.archived_at is None for plan in read.plans)
            self.rows = [_row(customer, zone) for customer in read.page.items]
            self.count = f"{read.found:,} {'customer' if read.found == 1 else 'customers'}"
            self.as_of = text.moment(read.as_of, zone) if read.as_of else ""
            self.as_of_utc = text.moment_utc(read.as_of) if read.as_of else ""
            self.pages = listing.pages(read.page.next_cursor)
            numbers = ("usage", "outstanding", "created")
            self.heads = listing.sorting(("name", *numbers), default="name", largest_first=numbers)

    @rx.event
    async def open_new(self) -> Any:
        """Open the dialog for a customer, on a plan that can be sold."""
        offered, this_month = await call(self, _offer)
        self.offered = plan_options(offered)
        self.months = months_around(this_month, MONTHS_BACK, MONTHS_AHEAD)
        self.proposed_key = ""
        start = {
            "name": "",
            "email": "",
            "plan_id": offered[0].plan_id if len(offered) == 1 else "",
            "start_period": label(this_month),
            "key": "",
            "billing_address": "",
        }
        return opened(self, NEW, "New customer", start=start)

    @rx.event
    async def propose_key(self, name: str) -> None:
        """Tell what the key would be, made from the name as it is typed."""
        named = name.strip()[:NAME_MAX] if isinstance(name, str) else ""
        self.proposed_key = await call(self, customers.propose_key, named) if named else ""

    @rx.event
    async def create(self, form: dict[str, Any]) -> Any:
        """Make a customer, and go to it."""
        async with submitting(self) as sent:
            made = await call(
                self,
                customers.create_customer,
                name=typed(form, "name"),
                email=typed(form, "email"),
                plan_id=typed_plan(form),
                start_period=typed_period(form, "start_period"),
                key=typed(form, "key").strip() or None,
                billing_address=typed(form, "billing_address"),
            )
            sent.done(f"{made.name} is a customer", rx.redirect(address.link(f"/customers/{made.key}")))
        return sent.events


class _Read(NamedTuple):
    page: Page[customers.CustomerRow]
    found: int
    as_of: Any
    plans: tuple[plans.PlanRow, ...]


def _read(session: Any, actor: Any, listing: Listing) -> _Read:
    chosen: dict[str, Any] = {name: listing.get(name) for name in ("search", "status", "plan")}
    page = customers.list_customers(
        session, actor, **chosen, sort=listing.get("sort") or "name", limit=ROWS, cursor=listing.cursor
    )
    return _Read(
        page,
        customers.count_customers(session, actor, **chosen),
        dashboard.figures_as_of(session, actor),
        plans.list_plans(session, actor, limit=PLANS).items,
    )


def _offer(session: Any, actor: Any) -> tuple[tuple[plans.PlanRow, ...], date]:
    offered = plans.list_plans(session, actor, archived=False, limit=PLANS)
    return offered.items, period_of(now(session))


def _row(customer: customers.CustomerRow, zone: ZoneInfo) -> CustomerItem:
    used, included = customer.usage_quantity, customer.included_units
    within, beyond = _bar(used or Decimal(0), included or Decimal(0))
    return CustomerItem(
        href=address.link(f"/customers/{customer.key}"),
        name=customer.name,
        email=customer.email,
        plan=customer.plan_name or "\N{EM DASH}",
        version=f"version {customer.plan_version}" if customer.plan_version else "",
        status=customer.status,
        usage="\N{EM DASH}" if used is None else text.quantity(used),
        included="" if included is None else text.quantity(included),
        within=within,
        beyond=beyond,
        outstanding=text.money(customer.outstanding_minor, customer.currency),
        owes=bool(customer.outstanding_minor),
        created=text.day(customer.created_at.astimezone(zone).date()),
    )


def _bar(used: Decimal, included: Decimal) -> tuple[str, str]:
    """The widths of what is used within and beyond the included units, of the longer of both."""
    whole = max(used, included)
    if not whole:
        return "0%", "0%"
    within = min(used, included)
    return f"{within / whole * 100:.1f}%", f"{(used - within) / whole * 100:.1f}%"

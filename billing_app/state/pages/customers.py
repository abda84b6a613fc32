"""The list of customers, and the dialog that makes one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.periods import label, period_of
from billing_app.services.customers import customers
from billing_app.services.customers.rows import CustomerFilter, CustomerRow
from billing_app.services.dashboard import dashboard
from billing_app.services.plans import plans
from billing_app.services.shared.pagination import Page
from billing_app.state.kit import address, text
from billing_app.state.kit.choices import (
    months_around,
    resolve_plan,
    resolve_plan_filter,
    select_if_only,
    suggest_any_plans,
    suggest_plans,
)
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import Form, open_dialog, read_period, read_text, submitting
from billing_app.state.kit.lists import Listing, Option, Pages, Sorting, parse_listing
from billing_app.state.kit.session import call, viewer_zone
from billing_app.state.presenters.customers import CustomerItem

ROWS = 25
NEW = "new-customer"
MONTHS_BACK, MONTHS_AHEAD = 12, 3
NAME_MAX = 200
_SUBSCRIBED = {"true": True, "false": False}


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
    # When what is typed names no plan, those that it may mean.
    meant: rx.Field[list[Option]] = rx.field(default_factory=list)
    can_sell: bool = False

    form: Form = Form()
    offered: rx.Field[list[Option]] = rx.field(default_factory=list)
    months: rx.Field[list[Option]] = rx.field(default_factory=list)
    proposed_key: str = ""

    @rx.event
    async def load(self) -> None:
        """Show the page that the address names."""
        listing = parse_listing(self, "/customers", "search", "status", "plan", "subscribed", "sort")
        self.is_filtered = listing.is_filtered
        async with loading(self):
            read = await call(self, _read, listing)
            zone = viewer_zone(self)
            self.plans, self.can_sell = read.plans, read.can_sell
            self.meant = [Option(listing.href(plan=each.value), each.text) for each in read.meant]
            self.rows = [_row(customer, zone) for customer in read.page.items]
            self.count = f"{read.found:,} {'customer' if read.found == 1 else 'customers'}"
            self.as_of = text.timestamp(read.as_of, zone) if read.as_of else ""
            self.as_of_utc = text.timestamp_utc(read.as_of) if read.as_of else ""
            self.pages = listing.pages(read.page.next_cursor)
            numbers = ("usage", "outstanding", "created")
            self.heads = listing.sorting(("name", *numbers), default="name", largest_first=numbers)

    @rx.event
    async def open_new(self) -> Any:
        """Open the dialog for a customer, on a plan that can be sold."""
        self.offered, this_month = await call(self, _offer)
        self.months = months_around(this_month, MONTHS_BACK, MONTHS_AHEAD)
        self.proposed_key = ""
        start = {
            "name": "",
            "email": "",
            "plan": select_if_only(self.offered),
            "start_period": label(this_month),
            "key": "",
            "billing_address": "",
        }
        return open_dialog(self, NEW, "New customer", start=start)

    @rx.event
    async def propose_key(self, name: str) -> None:
        """Tell what the key would be, made from the name as it is typed."""
        named = name.strip()[:NAME_MAX] if isinstance(name, str) else ""
        self.proposed_key = await call(self, customers.propose_key, named) if named else ""

    @rx.event
    async def suggest_plan(self, begun: str) -> None:
        """Offer the plans that what is typed fits."""
        self.offered = await call(self, suggest_plans, begun)

    @rx.event
    async def create(self, form: dict[str, Any]) -> Any:
        """Make a customer, and go to it."""
        async with submitting(self, form) as submission:
            plan = await call(self, resolve_plan, read_text(form, "plan"))
            made = await call(
                self,
                customers.create_customer,
                name=read_text(form, "name"),
                email=read_text(form, "email"),
                plan_id=plan.plan_id,
                start_period=read_period(form, "start_period"),
                key=read_text(form, "key").strip() or None,
                billing_address=read_text(form, "billing_address"),
            )
            submission.succeed(
                f"{made.name} is a customer", rx.redirect(address.link(f"/customers/{made.key}"))
            )
        return submission.events


class _Read(NamedTuple):
    page: Page[CustomerRow]
    found: int
    as_of: Any
    plans: list[Option]
    meant: list[Option]
    can_sell: bool


def _read(session: Any, actor: Any, listing: Listing) -> _Read:
    wanted = listing.filters["plan"]
    plan, meant = resolve_plan_filter(session, actor, wanted) if wanted else ("", [])
    page, found = _page(session, actor, listing, plan) if plan or not wanted else (Page((), None), 0)
    return _Read(
        page,
        found,
        dashboard.figures_as_of(session, actor),
        suggest_any_plans(session, actor, wanted),
        meant,
        bool(plans.find_plans(session, actor, archived=False, limit=1)),
    )


def _page(session: Any, actor: Any, listing: Listing, plan: str) -> tuple[Page[CustomerRow], int]:
    """The page that is asked for, and how many there are on all pages."""
    chosen = CustomerFilter(
        search=listing.get("search"),
        status=listing.get("status"),
        plan=plan or None,
        subscribed=_SUBSCRIBED.get(listing.filters["subscribed"]),
    )
    page = customers.list_customers(
        session, actor, chosen, sort=listing.get("sort") or "name", limit=ROWS, cursor=listing.cursor
    )
    if listing.cursor is None and page.next_cursor is None:
        return page, len(page.items)
    return page, customers.count_customers(session, actor, chosen)


def _offer(session: Any, actor: Any) -> tuple[list[Option], date]:
    return suggest_plans(session, actor), period_of(now(session))


def _row(customer: CustomerRow, zone: ZoneInfo) -> CustomerItem:
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

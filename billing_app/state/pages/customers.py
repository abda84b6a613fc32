"""The list of customers, and the dialog that creates one."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.services.adjustments import credit
from billing_app.services.customers import customers
from billing_app.services.customers.rows import CustomerFilter, CustomerRow
from billing_app.services.dashboard import dashboard
from billing_app.services.plans import meters, plans
from billing_app.services.shared.idempotency import Answer, RequestKey, find_answer, store_answer
from billing_app.services.shared.pagination import Page
from billing_app.services.usage.days import FirstCharge, find_first_charges
from billing_app.state.kit import address, text
from billing_app.state.kit.choices import (
    resolve_plan,
    resolve_plan_filter,
    select_if_only,
    start_days,
    suggest_any_plans,
    suggest_plans,
)
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import Form, open_dialog, read_day, read_text, submitting
from billing_app.state.kit.lists import Listing, Option, Pages, Sorting, parse_listing
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.presenters.customers import CustomerItem
from billing_app.wording.values import counted

ROWS = 25
NEW = "new-customer"
NAME_MAX = 200
# A dialog creates only one customer, even if it is sent again with other values.
_ANY_CONTENT = "0" * 64
_YES_NO = {"true": True, "false": False}


class CustomersState(rx.State):
    """A page of customers, filtered by search, status, plan and subscription."""

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
    # Plans to select from when the typed plan is ambiguous.
    similar_plans: rx.Field[list[Option]] = rx.field(default_factory=list)
    has_plans: bool = False
    # Whether the filter for credit is shown.
    has_credits: bool = False

    form: Form = Form()
    plan_options: rx.Field[list[Option]] = rx.field(default_factory=list)
    starts: rx.Field[list[Option]] = rx.field(default_factory=list)
    proposed_key: str = ""

    @rx.event
    async def load(self) -> None:
        """Show the page in the address."""
        listing = parse_listing(
            self, "/customers", "search", "status", "plan", "subscribed", "credit", "sort"
        )
        self.is_filtered = listing.is_filtered
        async with loading(self):
            read = await call(self, _read, listing)
            zone = viewer_zone(self)
            self.plans, self.has_plans = read.plans, read.has_plans
            self.has_credits = read.has_credits or bool(listing.filters["credit"])
            self.similar_plans = [
                Option(listing.href(plan=each.value), each.text) for each in read.similar_plans
            ]
            self.rows = [
                _row(customer, read.charges.get(customer.customer_id), zone, has_units=read.has_units)
                for customer in read.page.items
            ]
            self.count = counted(read.total, "customer")
            self.as_of = text.timestamp(read.as_of, zone) if read.as_of else ""
            self.as_of_utc = text.timestamp_utc(read.as_of) if read.as_of else ""
            self.pages = listing.pages(read.page.next_cursor)
            numbers = ("usage", "outstanding", "created")
            self.heads = listing.sorting(("name", *numbers), default="name", largest_first=numbers)

    @rx.event
    async def open_new(self) -> Any:
        """Open the dialog for a new customer."""
        self.plan_options, today = await call(self, _read_options)
        self.starts = start_days(today)
        self.proposed_key = ""
        start = {
            "name": "",
            "email": "",
            "plan": select_if_only(self.plan_options),
            "start": self.starts[0].value,
            "start_date": today.isoformat(),
            "key": "",
            "billing_address": "",
        }
        return open_dialog(self, NEW, "New customer", start=start)

    @rx.event
    async def propose_key(self, name: str) -> None:
        """Show the key that would be generated from the name typed so far."""
        named = name.strip()[:NAME_MAX] if isinstance(name, str) else ""
        self.proposed_key = await call(self, customers.propose_key, named) if named else ""

    @rx.event
    async def suggest_plan(self, typed: str) -> None:
        """Suggest plans with the typed text in their name."""
        self.plan_options = await call(self, suggest_plans, typed)

    @rx.event
    async def create(self, form: dict[str, Any]) -> Any:
        """Create a customer and open its page."""
        async with submitting(self, form) as submission:
            plan = await call(self, resolve_plan, read_text(form, "plan"))
            created = await call(
                self,
                _create_once,
                read_text(form, "idempotency_key"),
                name=read_text(form, "name"),
                email=read_text(form, "email"),
                plan_id=plan.plan_id,
                start=read_day(form, "start"),
                key=read_text(form, "key").strip() or None,
                billing_address=read_text(form, "billing_address"),
            )
            submission.succeed(
                f"Customer {created.name} created", rx.redirect(address.link(f"/customers/{created.key}"))
            )
        return submission.events


class _Created(NamedTuple):
    """The name and key of a customer that a dialog created."""

    name: str
    key: str


def _create_once(session: Session, actor: Actor, dialog_key: str, /, **details: Any) -> _Created:
    """Create a customer, or return the one that this dialog created before its response was lost."""
    request = RequestKey(dialog_key, f"dialog {NEW}", _ANY_CONTENT)
    if first := find_answer(session, actor, request, permission=Permission.WRITE_CUSTOMERS):
        return _Created(**first.body)
    customer = customers.create_customer(session, actor, **details)
    created = _Created(customer.name, customer.key)
    store_answer(session, actor, request, Answer(status=201, location="", body=created._asdict()))
    return created


class _Read(NamedTuple):
    """What the page shows, read in one transaction."""

    page: Page[CustomerRow]
    total: int
    as_of: datetime | None
    plans: list[Option]
    similar_plans: list[Option]
    has_plans: bool
    charges: dict[int, FirstCharge]
    has_units: bool
    has_credits: bool


def _read(session: Session, actor: Actor, listing: Listing) -> _Read:
    typed_plan = listing.filters["plan"]
    plan, similar = resolve_plan_filter(session, actor, typed_plan) if typed_plan else ("", [])
    is_unclear = bool(typed_plan and not plan)
    page: Page[CustomerRow] = Page((), None)
    total = 0
    if not is_unclear:
        page, total = _page(session, actor, listing, plan)
    return _Read(
        page=page,
        total=total,
        as_of=dashboard.figures_as_of(session, actor),
        plans=suggest_any_plans(session, actor, typed_plan),
        similar_plans=similar,
        has_plans=bool(plans.find_plans(session, actor, archived=False, limit=1)),
        charges=find_first_charges(session, actor, [each.customer_id for each in page.items]),
        has_units=len(meters.list_all_meters(session, actor)) > 1,
        has_credits=credit.has_any_credit(session, actor),
    )


def _page(session: Session, actor: Actor, listing: Listing, plan: str) -> tuple[Page[CustomerRow], int]:
    """Return the page in the address, and the number of customers on all pages."""
    customer_filter = CustomerFilter(
        search=listing.get("search"),
        status=listing.get("status"),
        plan=plan or None,
        subscribed=_YES_NO.get(listing.filters["subscribed"]),
        has_credit=_YES_NO.get(listing.filters["credit"]),
    )
    page = customers.list_customers(
        session, actor, customer_filter, sort=listing.get("sort") or "name", limit=ROWS, cursor=listing.cursor
    )
    if listing.cursor is None and page.next_cursor is None:
        return page, len(page.items)
    return page, customers.count_customers(session, actor, customer_filter)


def _read_options(session: Session, actor: Actor) -> tuple[list[Option], date]:
    return suggest_plans(session, actor), now(session).date()


def _row(
    customer: CustomerRow, charge: FirstCharge | None, zone: ZoneInfo, *, has_units: bool
) -> CustomerItem:
    used, included = customer.usage_quantity, charge.included if charge else None
    within, overage = _bar(used or Decimal(0), included or Decimal(0))
    return CustomerItem(
        href=address.link(f"/customers/{customer.key}"),
        name=customer.name,
        email=customer.email,
        plan=customer.plan_name or "\N{EM DASH}",
        version=f"version {customer.plan_version}" if customer.plan_version else "",
        status=customer.status,
        usage="\N{EM DASH}" if used is None else text.quantity(used),
        unit=text.unit_of(used, charge.meter) if has_units and charge and used is not None else "",
        included=text.quantity(included) if included else "",
        within=within,
        overage=overage,
        outstanding=text.money(customer.outstanding_minor, customer.currency),
        owes=bool(customer.outstanding_minor),
        created=text.day(customer.created_at.astimezone(zone).date()),
    )


def _bar(used: Decimal, included: Decimal) -> tuple[str, str]:
    """Return the widths of included usage and of overage, as CSS."""
    whole = max(used, included)
    if not whole:
        return "0%", "0%"
    within = min(used, included)
    return f"{within / whole * 100:.1f}%", f"{(used - within) / whole * 100:.1f}%"

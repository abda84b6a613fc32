"""Price simulation: what a month would have cost under other prices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, NamedTuple

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.actor import Actor
from billing_app.domain.money import major_text
from billing_app.domain.periods import label, period_of, previous_period
from billing_app.domain.terms import Plan
from billing_app.errors import BillingError, FieldError, Invalid, NotFound
from billing_app.jobs.simulations import request_simulation
from billing_app.runtime import current
from billing_app.services.audit.names import Named, find_names
from billing_app.services.plans import plans
from billing_app.services.plans.charges import charges_as_given
from billing_app.services.plans.rows import PlanRow
from billing_app.services.simulations import simulations
from billing_app.services.simulations.rows import CustomersGiven, SimulatedRow, SimulationRow, TermsGiven
from billing_app.state.kit import address, text
from billing_app.state.kit.choices import resolve_plan, suggest_any_plans
from billing_app.state.kit.errors import LOADING, READY, loading
from billing_app.state.kit.forms import call_once, open_dialog, read_period, read_text, submitting
from billing_app.state.kit.lists import Listing, Option, Pages, Sorting, parse_listing
from billing_app.state.kit.live import poll_while_open
from billing_app.state.kit.naming import resolve_customer
from billing_app.state.kit.numbers import TYPED_MAX, read_decimal, viewer_notation
from billing_app.state.kit.session import Session, call, perform, viewer_zone
from billing_app.state.pages.plan_editing import PlanEditing, show_examples, start_editing
from billing_app.state.pages.plan_editor import TypedCharges, read_charges
from billing_app.state.presenters.simulations import (
    SimulatedItem,
    SimulationItem,
    difference_points,
    ids_of,
    simulated_item,
    simulation_item,
)

ROWS = 50
BARS = 10
MONTHS = 24
SIMULATE, SAVE = "simulate", "save-plan"
PATH = "/plans/simulate"
# What is selected in the dialog.
BY_CURRENCY, BY_PLAN, ONE_CUSTOMER = "currency", "plan", "customer"
OF_PLAN, EDITED = "plan", "terms"
RUNNING = "running"


class SimulateState(PlanEditing, rx.State):
    """One simulation with a page of its customers, and the dialogs that start one and save its terms."""

    phase: str = LOADING
    problem: str = ""
    simulation: SimulationItem = SimulationItem()
    rows: rx.Field[list[SimulatedItem]] = rx.field(default_factory=list)
    head: Sorting = Sorting()
    pages: Pages = Pages()
    bars: rx.Field[list[dict[str, Any]]] = rx.field(default_factory=list)
    months: rx.Field[list[Option]] = rx.field(default_factory=list)
    plan_options: rx.Field[list[Option]] = rx.field(default_factory=list)
    selected_customers: str = BY_CURRENCY
    selected_prices: str = OF_PLAN
    # The plan whose terms the fields of terms start with.
    terms_of: str = ""
    _plan: str = ""
    _watch: int = 0

    @rx.event
    async def load(self) -> Any:
        """Show the simulation in the address, or the newest one, and follow its progress."""
        listing = parse_listing(self, PATH, "simulation", "sort")
        async with loading(self):
            _show(self, await call(self, _read, listing), listing)
        is_running = self.phase == READY and self.simulation.status == RUNNING
        return SimulateState.watch if is_running else None

    @rx.event(background=True)
    async def watch(self) -> AsyncIterator[Any]:
        """Show the progress until the simulation ends, and then its result."""
        shown = self.simulation.simulation
        async for _ in poll_while_open(self):
            found = await call(self, _read_progress, shown)
            if found is None or found.row.status != RUNNING:
                yield SimulateState.load
                break
            async with self:
                self.simulation = simulation_item(found.row, found.names, viewer_zone(self))

    @rx.event
    async def open_new(self) -> Any:
        """Open the dialog that asks for the month, the customers and the prices."""
        prepared = await call(self, _prepare)
        self.months, self.plan_options = prepared.months, prepared.plans
        start = {"period": self.months[1].value, "customers_currency": prepared.currency}
        return await _open(self, None, start)

    @rx.event
    async def open_again(self) -> Any:
        """Open the dialog with what was asked for the simulation that is shown."""
        prepared = await call(self, _prepare)
        self.months, self.plan_options = prepared.months, prepared.plans
        row = await call(self, simulations.get_simulation, self.simulation.simulation)
        named = await call(self, find_names, ids_of(row))
        return await _open(self, row, _start_of(row, named, prepared.currency))

    @rx.event
    async def choose_customers(self, kind: str) -> None:
        """Show the field that names the customers."""
        known = (BY_CURRENCY, BY_PLAN, ONE_CUSTOMER)
        self.selected_customers = kind if kind in known else BY_CURRENCY

    @rx.event
    async def choose_prices(self, kind: str) -> None:
        """Show the field of a plan, or the fields of terms, which start with those of the typed plan."""
        self.selected_prices = EDITED if kind == EDITED else OF_PLAN
        await _start_with_plan(self)

    @rx.event
    async def suggest_customers_plan(self, typed: str) -> None:
        """Suggest plans for the customers on a plan."""
        self.plan_options = await call(self, suggest_any_plans, str(typed)[:TYPED_MAX].strip())

    @rx.event
    async def suggest_plan(self, typed: str) -> None:
        """Suggest plans, archived ones included, whose name contains the typed text."""
        self._plan = str(typed)[:TYPED_MAX]
        self.plan_options = await call(self, suggest_any_plans, self._plan.strip())
        # The fields of terms may already be shown: what was typed arrives a moment later.
        await _start_with_plan(self)

    @rx.event
    async def start(self, form: dict[str, Any]) -> Any:
        """Start a simulation, or show the same one if it is running."""
        async with submitting(self, form) as submission:
            customers = await _read_customers(self, form)
            prices, charges = await _read_prices(self, form)
            period_start = read_period(form, "period")
            try:
                row = await perform(
                    self, request_simulation, period_start=period_start, customers=customers, **prices
                )
            except BillingError as error:
                raise _at_fields(error, charges) from None
            current().background.wake()
            href = address.link(PATH, simulation=row.public_id)
            submission.succeed(f"Price simulation for {text.month(period_start)} started", rx.redirect(href))
        return submission.events

    @rx.event
    async def open_save(self) -> Any:
        """Ask for the name of the plan that gets the simulated terms."""
        row = await call(self, simulations.get_simulation, self.simulation.simulation)
        return open_dialog(
            self, SAVE, "Save as plan version", start={"name": ""}, hidden={"simulation": row.public_id}
        )

    @rx.event
    async def save(self, form: dict[str, Any]) -> Any:
        """Create a plan, or the next version of one, with the simulated terms."""
        async with submitting(self, form) as submission:
            row = await call(self, simulations.get_simulation, read_text(form, "simulation"))
            terms = row.request.plan
            plan = await call_once(
                self,
                form,
                plans.create_plan,
                name=read_text(form, "name"),
                currency=terms.currency,
                monthly_price=major_text(terms.monthly_price_minor, terms.currency),
                charges=charges_as_given(terms.charges, terms.currency),
            )
            named = text.plan(plan.name, plan.version)
            message = f"{named} created" if plan.is_new else f"{named} already has these terms"
            submission.succeed(message, rx.redirect(address.link("/plans")))
        return submission.events


class _Prepared(NamedTuple):
    """What the dialog offers: months, plans, and the currency to start with."""

    months: list[Option]
    plans: list[Option]
    currency: str


def _prepare(session: Session, actor: Actor) -> _Prepared:
    currencies = plans.list_currencies(session, actor)
    preferred = "USD" if "USD" in currencies or not currencies else currencies[0]
    return _Prepared(_months(session), suggest_any_plans(session, actor, ""), preferred)


def _months(session: Session) -> list[Option]:
    """Return the current month and those before it."""
    month = period_of(now(session))
    options = [Option(label(month), f"{text.month(month)}, so far")]
    while len(options) < MONTHS:
        month = previous_period(month)
        options.append(Option(label(month), text.month(month)))
    return options


def _start_of(row: SimulationRow, named: dict[str, Named], currency: str) -> dict[str, str]:
    """Return the values of the fields that asked for a simulation."""
    request, selection = row.request, row.request.selection
    names = {each.id.partition("_")[0]: each for each in named.values()}
    return {
        "period": label(request.period_start),
        "customers_currency": selection.currency or currency,
        "customers_plan": names["plan"].name if selection.plan_id is not None else "",
        "customer": names["cus"].key if selection.customer_id is not None else "",
        "plan": text.plan(request.plan.name, request.plan.version) if request.is_saved else "",
    }


async def _open(state: SimulateState, row: SimulationRow | None, start: dict[str, str]) -> Any:
    """Open the dialog, with what was asked for another simulation or as a new one."""
    selection = row.request.selection if row else None
    kinds = dict(zip((ONE_CUSTOMER, BY_PLAN, BY_CURRENCY), selection or (), strict=False))
    state.selected_customers = next((kind for kind, value in kinds.items() if value is not None), BY_CURRENCY)
    is_edited = row is not None and not row.request.is_saved
    state.selected_prices = EDITED if is_edited else OF_PLAN
    state._plan, state.terms_of = start.get("plan", ""), ""
    plan = _as_plan_row(row) if row and is_edited else None
    terms = _terms_start(state, plan.terms) if plan else {"monthly_price": "", "currency": "USD"}
    charges = await start_editing(state, plan)
    fields = {
        "period": "",
        "customers": state.selected_customers,
        "customers_currency": "",
        "customers_plan": "",
        "customer": "",
        "prices": state.selected_prices,
        "plan": "",
    }
    opened = open_dialog(state, SIMULATE, "Simulate prices", start={**fields, **terms, **charges, **start})
    await show_examples(state)
    return opened


async def _start_with_plan(state: SimulateState) -> None:
    """Fill the fields of terms with those of the typed plan, unless something was typed there."""
    if state.selected_prices != EDITED or state._typed:
        return
    try:
        plan = await call(state, resolve_plan, state._plan)
    except Invalid:
        return
    values = _terms_start(state, plan.terms) | await start_editing(state, plan)
    state.form = replace(state.form, start={**state.form.start, **values})
    state.terms_of = plan.public_id
    await show_examples(state)


def _as_plan_row(row: SimulationRow) -> PlanRow:
    """Return terms that are not saved as the editor reads those of a plan."""
    plan = row.request.plan
    return PlanRow(
        plan_id=plan.plan_id,
        name=plan.name,
        version=plan.version,
        currency=plan.currency,
        monthly_price_minor=plan.monthly_price_minor,
        charges=plan.charges,
        created_at=row.started_at,
        archived_at=None,
    )


def _terms_start(state: SimulateState, plan: Plan) -> dict[str, str]:
    price = major_text(plan.monthly_price_minor, plan.currency)
    return {"monthly_price": viewer_notation(state).write(price), "currency": plan.currency}


async def _read_customers(state: SimulateState, form: dict[str, Any]) -> CustomersGiven:
    kind = read_text(form, "customers")
    if kind == ONE_CUSTOMER:
        return CustomersGiven(customer=(await call(state, resolve_customer, read_text(form, "customer"))).key)
    if kind == BY_PLAN:
        try:
            plan = await call(state, resolve_plan, read_text(form, "customers_plan"))
        except Invalid as error:
            renamed = [replace(each, field="customers_plan") for each in error.errors]
            raise Invalid.from_errors(renamed) from None
        return CustomersGiven(plan_id=plan.plan_id)
    return CustomersGiven(currency=read_text(form, "customers_currency"))


async def _read_prices(
    state: SimulateState, form: dict[str, Any]
) -> tuple[dict[str, Any], TypedCharges | None]:
    """Return the plan or the terms of the form as arguments, and how terms are named in the form."""
    if read_text(form, "prices") != EDITED:
        plan = await call(state, resolve_plan, read_text(form, "plan"))
        return {"plan_id": plan.plan_id}, None
    charges = read_charges(form, viewer_notation(state))
    monthly_price = read_decimal(state, form, "monthly_price")
    return {"terms": TermsGiven(read_text(form, "currency"), monthly_price, charges.terms)}, charges


def _at_fields(error: BillingError, charges: TypedCharges | None) -> BillingError:
    """Return an error of the service that names the fields of the form."""
    if not isinstance(error, Invalid):
        return error
    places = {"customers.currency": "customers_currency"}
    renamed: list[FieldError] = []
    for each in error.errors:
        own = each.field.removeprefix("terms.")
        named = charges.fields.get(own, own) if charges else own
        renamed.append(replace(each, field=places.get(each.field, named)))
    return Invalid.from_errors(renamed)


class _Progress(NamedTuple):
    row: SimulationRow
    names: dict[str, Named]


class _Found(NamedTuple):
    """A simulation with a page of its customers, and those with the largest differences."""

    progress: _Progress | None
    rows: tuple[SimulatedRow, ...]
    next_cursor: str | None
    extremes: tuple[SimulatedRow, ...]


def _read(session: Session, actor: Actor, listing: Listing) -> _Found:
    wanted = listing.get("simulation")
    row = (
        simulations.get_simulation(session, actor, wanted)
        if wanted
        else simulations.find_newest(session, actor)
    )
    if row is None:
        return _Found(None, (), None, ())
    progress = _Progress(row, find_names(session, actor, ids_of(row)))
    if row.status != "done":
        return _Found(progress, (), None, ())
    sort = listing.get("sort") or "-difference"
    page = simulations.list_simulated(
        session, actor, row.public_id, sort=sort, limit=ROWS, cursor=listing.cursor
    )
    return _Found(progress, page.items, page.next_cursor, _read_extremes(session, actor, row))


def _read_extremes(session: Session, actor: Actor, row: SimulationRow) -> tuple[SimulatedRow, ...]:
    """Return the customers with the largest increases and decreases, from the first to the last."""
    ends = [
        simulations.list_simulated(session, actor, row.public_id, sort=sort, limit=BARS).items
        for sort in ("-difference", "difference")
    ]
    increases = [each for each in ends[0] if each.difference_minor > 0]
    decreases = [each for each in ends[1] if each.difference_minor < 0]
    return (*increases, *reversed(decreases))


def _read_progress(session: Session, actor: Actor, simulation: str) -> _Progress | None:
    try:
        row = simulations.get_simulation(session, actor, simulation)
    except NotFound:
        return None
    return _Progress(row, find_names(session, actor, ids_of(row)))


def _show(state: SimulateState, found: _Found, listing: Listing) -> None:
    heads = listing.sorting(("difference",), default="-difference", largest_first=("difference",))
    state.head = heads["difference"]
    state.pages = listing.pages(found.next_cursor)
    if found.progress is None:
        state.simulation, state.rows, state.bars = SimulationItem(), [], []
        return
    row, names = found.progress
    currency = row.request.plan.currency
    state.simulation = simulation_item(row, names, viewer_zone(state))
    state.rows = [simulated_item(each, currency) for each in found.rows]
    state.bars = difference_points(found.extremes, currency)

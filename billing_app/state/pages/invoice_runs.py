"""Invoice runs on the page of invoices: start, follow and cancel one, and see the recent ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import reflex as rx

from billing_app.domain.actor import Actor
from billing_app.errors import Invalid, NotFound
from billing_app.runtime import current
from billing_app.services.audit.names import Named, find_names
from billing_app.services.customers import customers
from billing_app.services.invoices import runs
from billing_app.services.invoices.runs import RunRow, RunSummary
from billing_app.services.usage import unpriced
from billing_app.services.usage.unpriced import UnpricedMeter
from billing_app.state.kit import address, text
from billing_app.state.kit.errors import LOADING, READY, loading
from billing_app.state.kit.forms import Form, call_once, open_dialog, read_period, read_text, submitting
from billing_app.state.kit.lists import Option, parse_listing
from billing_app.state.kit.live import poll_while_open
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.pages.invoices import FILTERS, InvoicesState, list_ended_months
from billing_app.state.presenters.runs import FailureItem, RunItem, failure_item, run_item

RUN, CANCEL = "run-month", "cancel-run"
RECENT_RUNS = 6
FAILURES_SHOWN = 50
RUNNING = "running"


class InvoiceRunsState(rx.State):
    """The run that is shown with its first failures, and the recent runs."""

    phase: str = LOADING
    problem: str = ""
    form: Form = Form()
    run: RunItem = RunItem()
    failures: rx.Field[list[FailureItem]] = rx.field(default_factory=list)
    more_failures: str = ""
    close_href: str = ""
    runs: rx.Field[list[RunItem]] = rx.field(default_factory=list)
    months: rx.Field[list[Option]] = rx.field(default_factory=list)
    customers: str = ""
    # Usage of the selected month that no plan prices.
    unpriced: str = ""
    unpriced_href: str = ""
    _watch: int = 0

    @rx.event
    async def load(self) -> Any:
        """Show the run in the address, or the running one, and follow its progress."""
        self.close_href = parse_listing(self, "/invoices", *FILTERS, "sort").href()
        async with loading(self):
            _show(self, await call(self, _read, address.query_parameter(self, "run")))
        return InvoiceRunsState.watch if self.run.status == RUNNING and self.phase == READY else None

    @rx.event
    async def open_run(self) -> AsyncIterator[Any]:
        """Open the dialog that asks for the month and shows the number of customers."""
        self.months, count = await call(self, _read_months_and_customers)
        self.customers = text.counted(count, "customer")
        self.unpriced = ""
        yield open_dialog(self, RUN, "Run invoices for a month", start={"period": self.months[0].value})
        # Counted while the dialog is open already, because it can take a moment.
        await _show_unpriced(self, self.months[0].value)

    @rx.event
    async def choose_month(self, month: str) -> None:
        """Show which usage of the selected month has no price."""
        await _show_unpriced(self, month)

    @rx.event
    async def start(self, form: dict[str, Any]) -> Any:
        """Start the month's run, or show the one that is already running."""
        async with submitting(self, form) as submission:
            submission.repeated = "Invoice run started"
            run = await call_once(self, form, runs.start_run, read_period(form, "period"))
            current().background.wake()
            submission.succeed(
                f"Invoice run for {text.month(run.period_start)} started",
                rx.redirect(address.link("/invoices", run=run.public_id)),
            )
        return submission.events

    @rx.event
    async def start_again(self) -> Any:
        """Run the month of the shown run again."""
        shown = await call(self, runs.get_run, self.run.run)
        run = await call(self, runs.start_run, shown.period_start)
        current().background.wake()
        return rx.redirect(address.link("/invoices", run=run.public_id))

    @rx.event(background=True)
    async def watch(self) -> AsyncIterator[Any]:
        """Show the run's progress until it ends or the page is left."""
        shown = self.run.run
        if not shown:
            return
        async for _ in poll_while_open(self):
            found = await call(self, _read, shown)
            async with self:
                _show(self, found)
            if found.shown is None or found.shown.status != RUNNING:
                yield InvoicesState.load
                break

    @rx.event
    async def open_cancel(self) -> Any:
        """Ask for confirmation before a run is cancelled."""
        run = await call(self, runs.get_run, self.run.run)
        title = f"Cancel the invoice run for {text.month(run.period_start)}?"
        return open_dialog(self, CANCEL, title, hidden={"run": run.public_id})

    @rx.event
    async def cancel(self, form: dict[str, Any]) -> Any:
        """Cancel a run. Its counts are final when the dialog closes."""
        async with submitting(self, form) as submission:
            run = await call(self, runs.cancel_run, read_text(form, "run"))
            outcome = "cancelled" if run.status == "cancelled" else "had already ended"
            submission.succeed(f"Invoice run for {text.month(run.period_start)} {outcome}")
        return submission.events


class _Found(NamedTuple):
    shown: RunRow | None
    recent: tuple[RunSummary, ...]
    names: dict[str, Named]


def _read(session: Session, actor: Actor, run: str) -> _Found:
    recent = tuple(runs.list_runs(session, actor, limit=RECENT_RUNS).items)
    shown = _find(session, actor, run)
    starters = {each.started_by for each in (*recent, shown) if each}
    return _Found(shown, recent, find_names(session, actor, starters))


def _find(session: Session, actor: Actor, run: str) -> RunRow | None:
    """Return the run with this id, or the running one if no id is given."""
    if run:
        try:
            return runs.get_run(session, actor, run)
        except NotFound:
            return None
    running = runs.find_running(session, actor)
    return runs.get_run(session, actor, running.public_id) if running else None


def _read_months_and_customers(session: Session, actor: Actor) -> tuple[list[Option], int]:
    return list_ended_months(session, actor), customers.count_customers(session, actor)


async def _show_unpriced(state: InvoiceRunsState, month: object) -> None:
    state.unpriced = await call(state, _describe_unpriced, month)
    state.unpriced_href = (
        address.link("/usage", period=str(month), billing_period=str(month), unpriced="true")
        if state.unpriced
        else ""
    )


def _describe_unpriced(session: Session, actor: Actor, month: object) -> str:
    """Name the usage of a month that has no price; empty if there is none."""
    try:
        period_start = read_period({"period": month}, "period")
    except Invalid:
        return ""
    meters = unpriced.count_unpriced(session, actor, period_start)
    return ", ".join(map(_describe_meter, meters))


def _describe_meter(meter: UnpricedMeter) -> str:
    more = "more than " if meter.has_more else ""
    events = f"{more}{text.counted(meter.events, 'event')} of {meter.name}"
    return f"{events} ({more}{text.counted(meter.customers, 'customer')})"


def _show(state: InvoiceRunsState, found: _Found) -> None:
    zone, shown = viewer_zone(state), found.shown
    state.run = run_item(shown, found.names, zone) if shown else RunItem()
    state.failures = [failure_item(each) for each in shown.failures[:FAILURES_SHOWN]] if shown else []
    more = (shown.failed if shown else 0) - len(state.failures)
    state.more_failures = f"and {more:,} more" if more > 0 else ""
    state.runs = [run_item(each, found.names, zone) for each in found.recent]

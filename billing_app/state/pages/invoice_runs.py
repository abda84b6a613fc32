"""A month's invoices for everyone: started, watched, cancelled, and what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import reflex as rx

from billing_app.errors import BillingError
from billing_app.runtime import current
from billing_app.services.audit.names import Named, find_names
from billing_app.services.customers import customers
from billing_app.services.invoices import runs
from billing_app.services.invoices.runs import RunFailure, RunRow, RunSummary
from billing_app.state.kit import address, text
from billing_app.state.kit.errors import LOADING, READY, loading
from billing_app.state.kit.forms import Form, open_dialog, read_period, read_text, submitting
from billing_app.state.kit.lists import Option, parse_listing
from billing_app.state.kit.live import poll_while_open
from billing_app.state.kit.session import call, viewer_zone
from billing_app.state.pages.invoices import FILTERS, InvoicesState, list_ended_months
from billing_app.state.presenters.audit_entries import describe_actor_id
from billing_app.state.presenters.runs import FailureItem, RunItem
from billing_app.wording.refusals import reason_sentence

RUN, CANCEL = "run-month", "cancel-run"
LAST_RUNS = 6
FAILURES = 50
RUNNING = "running"


class InvoiceRunsState(rx.State):
    """The run that is shown, with its first failures, and the last ones."""

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
    _watch: int = 0

    @rx.event
    async def load(self) -> Any:
        """Show the run that the address names, or the one under way; go on watching it."""
        self.close_href = parse_listing(self, "/invoices", *FILTERS, "sort").href()
        async with loading(self):
            shown, last, names = await call(self, _read, address.query_parameter(self, "run"))
            _show(self, shown, names)
            self.runs = [_item(self, run, names) for run in last]
        return InvoiceRunsState.watch if self.run.status == RUNNING and self.phase == READY else None

    @rx.event
    async def open_run(self) -> Any:
        """Open the dialog that asks which month; it says how many customers there are."""
        self.months, count = await call(self, _before_run)
        self.customers = f"{count:,} {'customer' if count == 1 else 'customers'}"
        return open_dialog(self, RUN, "Run a month for everyone", start={"period": self.months[0].value})

    @rx.event
    async def start(self, form: dict[str, Any]) -> Any:
        """Start the month's run, or find the one that is under way."""
        async with submitting(self, form) as submission:
            run = await call(self, runs.start_run, read_period(form, "period"))
            current().background.wake()
            submission.succeed(
                f"{text.month(run.period_start)} is being invoiced",
                rx.redirect(address.link("/invoices", run=run.public_id)),
            )
        return submission.events

    @rx.event
    async def start_again(self) -> Any:
        """Run the month of a run that was given up again."""
        given_up = await call(self, runs.get_run, self.run.run)
        run = await call(self, runs.start_run, given_up.period_start)
        current().background.wake()
        return rx.redirect(address.link("/invoices", run=run.public_id))

    @rx.event(background=True)
    async def watch(self) -> AsyncIterator[Any]:
        """Show how far the run is until it ends or the page is left."""
        shown = self.run.run
        if not shown:
            return
        async for _ in poll_while_open(self):
            run, last, names = await call(self, _read, shown)
            async with self:
                _show(self, run, names)
                self.runs = [_item(self, each, names) for each in last]
            if run is None or run.status != RUNNING:
                yield InvoicesState.load
                break

    @rx.event
    async def open_cancel(self) -> Any:
        """Ask before a run is stopped."""
        run = await call(self, runs.get_run, self.run.run)
        title = f"Stop invoicing {text.month(run.period_start)}?"
        return open_dialog(self, CANCEL, title, hidden={"run": run.public_id})

    @rx.event
    async def cancel(self, form: dict[str, Any]) -> Any:
        """Stop a run before its next customers."""
        async with submitting(self, form) as submission:
            run = await call(self, runs.cancel_run, read_text(form, "run"))
            ended = "had ended already" if run.status == "done" else "is stopped"
            submission.succeed(f"The run of {text.month(run.period_start)} {ended}")
        return submission.events


def _read(session: Any, actor: Any, named: str) -> Any:
    last = runs.list_runs(session, actor, limit=LAST_RUNS).items
    shown = _find(session, actor, named)
    return shown, last, find_names(session, actor, {run.started_by for run in (*last, shown) if run})


def _find(session: Any, actor: Any, named: str) -> RunRow | None:
    """The run of that id; without one, the one under way."""
    if named:
        try:
            return runs.get_run(session, actor, named)
        except BillingError:
            return None
    running = runs.find_running(session, actor)
    return runs.get_run(session, actor, running.public_id) if running else None


def _before_run(session: Any, actor: Any) -> Any:
    return list_ended_months(session, actor), customers.count_customers(session, actor)


def _show(state: InvoiceRunsState, run: RunRow | None, names: dict[str, Named]) -> None:
    state.run = _item(state, run, names) if run else RunItem()
    state.failures = [_failure(each) for each in run.failures[:FAILURES]] if run else []
    further = (run.failed if run else 0) - len(state.failures)
    state.more_failures = f"and {further:,} more" if further > 0 else ""


def _item(state: InvoiceRunsState, run: RunSummary, names: dict[str, Named]) -> RunItem:
    dealt = run.made + run.existing + run.passed + run.failed
    return RunItem(
        run=run.public_id,
        href=address.link("/invoices", run=run.public_id),
        period=text.month(run.period_start),
        status=run.status,
        dealt=dealt,
        # A customer that came after the start is dealt with as well.
        total=max(run.total, dealt, 1),
        caption=f"{dealt:,} of {max(run.total, dealt):,} customers",
        made=f"{run.made:,}",
        existing=f"{run.existing:,}",
        passed=f"{run.passed:,}",
        failed=f"{run.failed:,}",
        has_failed=run.failed > 0,
        fault=f"It was given up: {reason_sentence(run.fault)}" if run.fault else "",
        started=text.timestamp(run.started_at, viewer_zone(state)),
        started_utc=text.timestamp_utc(run.started_at),
        started_by=describe_actor_id(run.started_by, run.started_by, names).name,
    )


def _failure(failure: RunFailure) -> FailureItem:
    return FailureItem(
        customer=failure.customer_key,
        customer_href=address.link(f"/customers/{failure.customer_key}"),
        reason=reason_sentence(failure.reason),
    )

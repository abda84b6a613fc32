"""A month's run for everyone: how far it is, what came of it, and the last ones."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.invoice_runs import CANCEL, RUN, InvoiceRunsState
from billing_app.state.presenters.runs import FailureItem, RunItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import icon, link
from billing_app.ui.kit.buttons import button, writers_only
from billing_app.ui.kit.cards import progress
from billing_app.ui.kit.dialogs import confirm_dialog, form_dialog
from billing_app.ui.kit.fields import DialogForm, select_field
from billing_app.ui.kit.tables import column, number_column, row_link, table


def shown_run() -> rx.Component:
    """The run under way, or the one that the address names; nothing otherwise."""
    run = InvoiceRunsState.run
    return rx.cond(
        run.run != "",
        rx.el.section(
            rx.el.div(
                rx.el.div(
                    progress(_title(run), run.dealt, run.total, run.caption),
                    class_name="min-w-0 flex-1",
                ),
                rx.cond(
                    run.status == "running",
                    writers_only(button("Stop", "square", on_click=InvoiceRunsState.open_cancel)),
                    link(
                        icon("x"),
                        InvoiceRunsState.close_href,
                        classes.BUTTON_ICON,
                        aria_label="Close this run",
                        title="Close this run",
                    ),
                ),
                class_name="flex items-center gap-4",
            ),
            rx.el.dl(
                _count("Made", run.made),
                _count("Already there", run.existing),
                _count("Passed over", run.passed),
                _count("Failed", run.failed),
                class_name="mt-3 grid grid-cols-2 gap-x-8 gap-y-2 sm:flex",
            ),
            rx.cond(
                run.passed != "0",
                rx.el.p(
                    "Passed over: who has nothing to be invoiced in that month.",
                    class_name=f"{classes.CAPTION} mt-2",
                ),
            ),
            rx.cond(run.fault != "", _fault(run)),
            rx.cond(InvoiceRunsState.failures.length() > 0, _failures()),
            aria_label="Invoice run",
            class_name=f"{classes.PANEL} mb-5 px-5 py-4",
        ),
    )


def _title(run: rx.Var[RunItem]) -> rx.Var[str]:
    return rx.match(
        run.status,
        ("running", f"Invoicing {run.period} for everyone"),
        ("cancelled", f"Invoicing {run.period} was stopped"),
        ("failed", f"Invoicing {run.period} failed"),
        f"{run.period} is invoiced",
    )


def _count(name: str, count: rx.Var[str]) -> rx.Component:
    return rx.el.div(
        rx.el.dt(name, class_name=classes.EYEBROW),
        rx.el.dd(count, class_name="mt-0.5 text-sm font-semibold tabular-nums text-ink"),
        class_name="sm:min-w-24",
    )


def _fault(run: rx.Var[RunItem]) -> rx.Component:
    """Why it was given up, and the way on."""
    return rx.el.div(
        rx.el.p(
            run.fault,
            " What was made stays; run again, the month gets what is missing.",
            class_name="min-w-0 flex-1 basis-64 text-sm text-bad [overflow-wrap:anywhere]",
        ),
        writers_only(button("Run it again", "rotate-ccw", on_click=InvoiceRunsState.start_again)),
        class_name="mt-4 flex flex-wrap items-center gap-3 border-t border-line pt-3",
    )


def _failures() -> rx.Component:
    return rx.el.div(
        rx.el.h3("Could not be invoiced", class_name="text-xs font-medium text-ink"),
        rx.el.ul(
            rx.foreach(InvoiceRunsState.failures, _failure),
            tab_index=0,
            aria_label="Customers that could not be invoiced",
            class_name="mt-1 max-h-56 divide-y divide-line overflow-y-auto text-sm",
        ),
        rx.el.p(InvoiceRunsState.more_failures, class_name=f"{classes.CAPTION} mt-1 empty:hidden"),
        class_name="mt-4 border-t border-line pt-3",
    )


def _failure(failure: rx.Var[FailureItem]) -> rx.Component:
    return rx.el.li(
        link(failure.customer, failure.customer_href, f"{classes.LINK} font-medium"),
        rx.el.span(failure.reason, class_name="min-w-0 text-soft [overflow-wrap:anywhere]"),
        class_name="flex flex-col gap-x-4 py-1.5 sm:flex-row sm:items-baseline [&>a]:sm:w-48 [&>a]:truncate",
    )


def last_runs() -> rx.Component:
    """The runs started last, each leading to what came of it."""
    return rx.cond(
        InvoiceRunsState.runs.length() > 0,
        rx.el.section(
            rx.el.h2("Last runs", class_name="mb-3 text-sm font-semibold"),
            table(
                "Last runs",
                [
                    column("Month"),
                    column("Status"),
                    number_column("Made", wide_only=True),
                    number_column("Already there", wide_only=True),
                    number_column("Passed over", wide_only=True),
                    number_column("Failed"),
                    column("Started", wide_only=True),
                    column("By", wide_only=True),
                ],
                rx.foreach(InvoiceRunsState.runs, _row),
            ),
            class_name="mt-10",
        ),
    )


def _row(run: rx.Var[RunItem]) -> rx.Component:
    wide, number = f"{classes.TD} {classes.WIDE_ONLY}", f"{classes.TD_NUMBER} {classes.WIDE_ONLY}"
    return rx.el.tr(
        rx.el.td(
            row_link(run.period, run.href),
            rx.el.div(run.started, class_name=classes.NARROW_CAPTION),
            class_name=f"{classes.TD_MAIN} whitespace-nowrap",
        ),
        rx.el.td(
            rx.match(
                run.status,
                ("running", rx.el.span("Under way", class_name=classes.BADGE_QUIET)),
                ("cancelled", rx.el.span("Stopped", class_name=classes.BADGE_HOLD)),
                ("failed", rx.el.span("Failed", class_name=classes.BADGE_BAD)),
                rx.el.span("Done", class_name=classes.BADGE_GOOD),
            ),
            class_name=classes.TD,
        ),
        rx.el.td(run.made, class_name=number),
        rx.el.td(run.existing, class_name=number),
        rx.el.td(run.passed, class_name=number),
        rx.el.td(
            run.failed,
            class_name=rx.cond(run.has_failed, f"{classes.TD_AMOUNT} !text-bad", classes.TD_NOTHING),
        ),
        rx.el.td(rx.el.span(run.started, title=run.started_utc), class_name=f"{wide} tabular-nums"),
        rx.el.td(rx.el.div(run.started_by, class_name="max-w-40 truncate"), class_name=wide),
        class_name=classes.TR_LINK,
    )


def run_dialogs() -> rx.Component:
    """Which month to invoice for everyone; and whether to stop."""
    at = DialogForm(RUN, InvoiceRunsState.form)
    return rx.fragment(
        form_dialog(
            at,
            InvoiceRunsState.start,
            select_field(at, "period", "Month", InvoiceRunsState.months),
            submit="Make the invoices",
            explanation=rx.fragment(
                "All ",
                rx.el.strong(InvoiceRunsState.customers, class_name="font-semibold text-ink"),
                " are gone through: who has something to be invoiced in that month gets an invoice, who has one"
                " keeps it. It goes on when this page is closed.",
            ),
        ),
        confirm_dialog(
            DialogForm(CANCEL, InvoiceRunsState.form),
            InvoiceRunsState.cancel,
            "What was made stays. Running the month again makes what is missing, and nothing twice.",
            submit="Stop the run",
        ),
    )

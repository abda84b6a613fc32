"""Invoice runs on the page of invoices: the progress of one, its counts and failures, and the recent ones."""

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
    """The run in the address or the running one, if there is one."""
    run = InvoiceRunsState.run
    return rx.cond(
        run.run != "",
        rx.el.section(
            rx.el.div(
                rx.el.div(
                    progress(_title(run), run.processed, run.total, run.caption),
                    class_name="min-w-0 flex-1",
                ),
                _way_out(run),
                class_name="flex items-center gap-4",
            ),
            rx.el.dl(
                _count("Created", run.created),
                _count("Existing", run.existing),
                _count("Skipped", run.skipped),
                _count("Failed", run.failed),
                class_name="mt-3 grid grid-cols-2 gap-x-8 gap-y-2 sm:flex",
            ),
            rx.cond(
                run.has_skipped,
                rx.el.p(
                    "Skipped customers have nothing to invoice for this month.",
                    class_name=f"{classes.CAPTION} mt-2",
                ),
            ),
            rx.cond(run.fault != "", _fault(run)),
            rx.cond(InvoiceRunsState.failures.length() > 0, _failures()),
            aria_label="Invoice run",
            class_name=f"{classes.PANEL} mb-5 px-5 py-4",
        ),
    )


def _way_out(run: rx.Var[RunItem]) -> rx.Component:
    """Cancel a running run, or close one that has ended."""
    return rx.cond(
        run.status == "running",
        writers_only(button("Cancel run", "x", on_click=InvoiceRunsState.open_cancel)),
        link(
            icon("x"),
            InvoiceRunsState.close_href,
            classes.BUTTON_ICON,
            aria_label="Close invoice run",
            title="Close invoice run",
        ),
    )


def _title(run: rx.Var[RunItem]) -> rx.Var[str]:
    return rx.match(
        run.status,
        ("running", f"Invoice run for {run.period} is running"),
        ("cancelled", f"Invoice run for {run.period} was cancelled"),
        ("failed", f"Invoice run for {run.period} failed"),
        f"Invoice run for {run.period} is done",
    )


def _count(name: str, count: rx.Var[str]) -> rx.Component:
    return rx.el.div(
        rx.el.dt(name, class_name=classes.EYEBROW),
        rx.el.dd(count, class_name="mt-0.5 text-sm font-semibold tabular-nums text-ink"),
        class_name="sm:min-w-24",
    )


def _fault(run: rx.Var[RunItem]) -> rx.Component:
    """Why the run failed, and a button that runs the month again."""
    return rx.el.div(
        rx.el.p(
            run.fault,
            " Invoices that were created are kept. Run the month again to create the missing ones.",
            class_name="min-w-0 flex-1 basis-64 text-sm text-bad [overflow-wrap:anywhere]",
        ),
        writers_only(button("Run again", "rotate-ccw", on_click=InvoiceRunsState.start_again)),
        class_name="mt-4 flex flex-wrap items-center gap-3 border-t border-line pt-3",
    )


def _failures() -> rx.Component:
    return rx.el.div(
        rx.el.h3("Failed customers", class_name="text-xs font-medium text-ink"),
        rx.el.ul(
            rx.foreach(InvoiceRunsState.failures, _failure),
            tab_index=0,
            aria_label="Failed customers",
            class_name="mt-1 max-h-56 divide-y divide-line overflow-y-auto text-sm",
        ),
        rx.el.p(InvoiceRunsState.more_failures, class_name=f"{classes.CAPTION} mt-1 empty:hidden"),
        class_name="mt-4 border-t border-line pt-3",
    )


def _failure(failure: rx.Var[FailureItem]) -> rx.Component:
    return rx.el.li(
        link(failure.customer, failure.customer_href, f"{classes.LINK} font-medium"),
        rx.el.span(failure.reason, class_name="min-w-0 text-soft [overflow-wrap:anywhere]"),
        class_name="flex flex-col gap-x-4 py-1.5 sm:flex-row sm:items-baseline [&>a]:sm:w-48 [&>a]:sm:shrink-0 [&>a]:truncate",
    )


def recent_runs() -> rx.Component:
    """A table of the recent runs. Each row opens its run."""
    return rx.cond(
        InvoiceRunsState.runs.length() > 0,
        rx.el.section(
            rx.el.h2("Recent invoice runs", class_name="mb-3 text-sm font-semibold"),
            table(
                "Recent invoice runs",
                [
                    column("Month"),
                    column("Status"),
                    number_column("Created", wide_only=True),
                    number_column("Existing", wide_only=True),
                    number_column("Skipped", wide_only=True),
                    number_column("Failed"),
                    column("Started", wide_only=True),
                    column("Started by", wide_only=True),
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
                ("running", rx.el.span("Running", class_name=classes.BADGE_QUIET)),
                ("cancelled", rx.el.span("Cancelled", class_name=classes.BADGE_HOLD)),
                ("failed", rx.el.span("Failed", class_name=classes.BADGE_BAD)),
                rx.el.span("Done", class_name=classes.BADGE_GOOD),
            ),
            class_name=classes.TD,
        ),
        rx.el.td(run.created, class_name=number),
        rx.el.td(run.existing, class_name=number),
        rx.el.td(run.skipped, class_name=number),
        rx.el.td(
            run.failed,
            class_name=rx.cond(run.has_failed, f"{classes.TD_AMOUNT} !text-bad", classes.TD_NOTHING),
        ),
        rx.el.td(rx.el.span(run.started, title=run.started_utc), class_name=f"{wide} tabular-nums"),
        rx.el.td(rx.el.div(run.started_by, class_name="max-w-40 truncate"), class_name=wide),
        class_name=classes.TR_LINK,
    )


def run_dialogs() -> rx.Component:
    """The dialogs that start and cancel a run."""
    dialog = DialogForm(RUN, InvoiceRunsState.form)
    return rx.fragment(
        form_dialog(
            dialog,
            InvoiceRunsState.start,
            select_field(
                dialog,
                "period",
                "Month",
                InvoiceRunsState.months,
                on_change=InvoiceRunsState.choose_month,
            ),
            _unpriced(),
            submit="Run invoices",
            explanation=rx.fragment(
                "Closes the month and generates its missing invoices for all ",
                rx.el.strong(InvoiceRunsState.customers, class_name="font-semibold text-ink"),
                ". Invoices can’t be changed once they are generated. The run continues if you close this page.",
            ),
        ),
        confirm_dialog(
            DialogForm(CANCEL, InvoiceRunsState.form),
            InvoiceRunsState.cancel,
            "Invoices that were created are kept. To create the missing ones later, run the month again.",
            submit="Cancel run",
            dismiss="Keep running",
        ),
    )


def _unpriced() -> rx.Component:
    """Name the usage of the selected month that is not charged."""
    return rx.el.div(
        rx.cond(
            InvoiceRunsState.unpriced != "",
            rx.el.p(
                icon("triangle-alert", 16, "mt-0.5 shrink-0"),
                rx.el.span(
                    "Usage without a price, which is not charged: ",
                    InvoiceRunsState.unpriced,
                    ". The plans of these customers have no charge for it. ",
                    link(
                        "View this usage",
                        InvoiceRunsState.unpriced_href,
                        "font-medium underline underline-offset-4",
                    ),
                    class_name="min-w-0 [overflow-wrap:anywhere]",
                ),
                class_name="flex gap-2 rounded-md bg-warn-soft px-3 py-2 text-sm text-warn",
            ),
        ),
        role="status",
        class_name="empty:hidden",
    )

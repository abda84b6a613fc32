"""Price simulation: the totals before and after, the largest differences, and every customer."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.simulate import RUNNING, SAVE, SimulateState
from billing_app.state.presenters.simulations import SimulatedItem, SimulationItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import by_phase, file_link, icon, link, notice, skeleton
from billing_app.ui.kit.buttons import button, writers_only
from billing_app.ui.kit.cards import progress, stat
from billing_app.ui.kit.charts import Series, bar_chart, chart_frame
from billing_app.ui.kit.dialogs import form_dialog
from billing_app.ui.kit.fields import DialogForm, text_field
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.tables import (
    column,
    number_column,
    page_links,
    row_link,
    sort_column,
    table,
    table_skeleton,
)
from billing_app.ui.pages.simulate_dialog import simulate_dialog

_BARS = [Series("up", "Pays more"), Series("down", "Pays less")]
_DIFFERENCE = [Series("difference", "Difference")]
_STATS = "grid grid-cols-1 gap-4 min-[440px]:grid-cols-2 lg:grid-cols-4"


def simulate() -> rx.Component:
    """Build the page of one simulation."""
    return page(
        "Price simulation",
        "Plans",
        rx.el.div(
            link(rx.fragment(icon("arrow-left"), "Plans"), "/plans", classes.BUTTON_QUIET),
            _new_button("primary"),
            class_name="mb-4 flex flex-wrap justify-between gap-2",
        ),
        by_phase(
            SimulateState.phase,
            SimulateState.problem,
            loading=_bones(),
            missing=_missing(),
            ready=rx.cond(SimulateState.simulation.simulation != "", _shown(), _empty()),
        ),
        simulate_dialog(),
        _save_dialog(),
    )


def _new_button(look: str) -> rx.Component:
    return button("New simulation", "calculator", look=look, on_click=SimulateState.open_new)


def _shown() -> rx.Component:
    simulation = SimulateState.simulation
    return rx.el.div(
        _asked(simulation),
        rx.match(
            simulation.status,
            (
                RUNNING,
                rx.el.section(
                    progress("Simulating", simulation.processed, simulation.total, simulation.caption),
                    rx.el.p(
                        "The simulation continues if you close this page.",
                        class_name=f"{classes.CAPTION} mt-2",
                    ),
                    class_name=f"{classes.PANEL} px-5 py-4",
                    aria_label="Progress",
                ),
            ),
            ("failed", _failed(simulation)),
            _result(simulation),
        ),
        class_name="flex min-w-0 flex-col gap-4",
    )


def _asked(simulation: rx.Var[SimulationItem]) -> rx.Component:
    """Show what was asked: the month, the customers and the prices."""
    return rx.el.section(
        rx.el.div(
            rx.el.h2(
                simulation.month, ", ", simulation.customers,
                class_name=f"text-base font-semibold leading-6 {classes.WRAPPED}",
            ),
            rx.el.p(
                rx.el.span(simulation.prices, class_name="font-medium text-ink"), ": ", simulation.terms,
                class_name=f"mt-0.5 text-pretty text-sm text-soft {classes.WRAPPED}",
            ),
            rx.el.p(
                "Started by ", simulation.by, " on ",
                rx.el.time(simulation.started, title=simulation.started_utc, class_name="tabular-nums"),
                ". Removed 7 days after it ends.",
                class_name=f"mt-1 {classes.CAPTION}",
            ),
            class_name="min-w-0 flex-1 basis-64",
        ),
        rx.el.div(
            rx.cond(
                simulation.status != RUNNING,
                button("Change and run again", "rotate-ccw", on_click=SimulateState.open_again),
            ),
            rx.cond(
                simulation.is_unsaved,
                writers_only(
                    button("Save as plan version", "copy-plus", on_click=SimulateState.open_save)
                ),
            ),
            class_name="flex flex-wrap gap-2",
        ),
        class_name=f"{classes.PANEL} flex flex-wrap items-start gap-4 px-5 py-4",
        aria_label="Simulation",
    )  # fmt: skip


def _failed(simulation: rx.Var[SimulationItem]) -> rx.Component:
    return rx.el.section(
        rx.el.p(
            "The simulation failed. ", simulation.fault,
            class_name=f"text-sm text-bad {classes.WRAPPED}",
        ),
        class_name=f"{classes.PANEL} px-5 py-4",
        aria_label="Failed simulation",
    )  # fmt: skip


def _result(simulation: rx.Var[SimulationItem]) -> rx.Component:
    return rx.fragment(
        rx.el.div(
            stat("Before", simulation.before, "What the month costs"),
            stat("After", simulation.after, "What it would have cost"),
            stat("Difference", simulation.difference, simulation.change),
            stat("Customers", simulation.simulated, simulation.left_out),
            class_name=_STATS,
        ),
        rx.cond(
            SimulateState.rows.length() > 0,
            rx.fragment(rx.cond(SimulateState.bars.length() > 0, _chart(simulation)), _customers(simulation)),
            rx.el.div(
                notice(
                    "users",
                    "No customers to simulate",
                    "None of the selected customers has a plan in this month and is billed in the currency of"
                    " the prices.",
                ),
                class_name=classes.PANEL,
            ),
        ),
    )


def _chart(simulation: rx.Var[SimulationItem]) -> rx.Component:
    return rx.el.section(
        chart_frame(
            "Largest differences",
            "Customer",
            _BARS,
            SimulateState.bars,
            bar_chart(_BARS, SimulateState.bars, unit=simulation.symbol),
            columns=_DIFFERENCE,
        ),
        class_name=f"{classes.PANEL} min-w-0 px-5 py-4",
        aria_label="Largest differences",
    )


def _customers(simulation: rx.Var[SimulationItem]) -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2("Customers", class_name="text-sm font-semibold"),
            rx.cond(simulation.csv_href != "", file_link("Export CSV", simulation.csv_href)),
            class_name="mb-2 mt-2 flex items-center justify-between gap-2",
        ),
        table(
            "Customers",
            [
                column("Customer"),
                number_column("Before", wide_only=True),
                number_column("After", wide_only=True),
                sort_column("Difference", SimulateState.head, number=True),
                number_column("Change", wide_only=True),
            ],
            rx.foreach(SimulateState.rows, _row),
        ),
        page_links(SimulateState.pages),
    )


def _row(row: rx.Var[SimulatedItem]) -> rx.Component:
    number = f"{classes.TD_NUMBER} {classes.WIDE_ONLY}"
    return rx.el.tr(
        rx.el.td(
            rx.el.div(row_link(row.customer, row.href), class_name="truncate"),
            rx.el.div(row.before, " → ", row.after, class_name=f"{classes.NARROW_CAPTION} tabular-nums"),
            class_name=f"{classes.TD_MAIN} w-full max-w-0",
        ),
        rx.el.td(row.before, class_name=number),
        rx.el.td(row.after, class_name=number),
        rx.el.td(
            row.difference,
            class_name=rx.cond(row.direction == "", classes.TD_NOTHING, classes.TD_AMOUNT),
        ),
        rx.el.td(row.change, class_name=number),
        class_name=classes.TR_LINK,
    )


def _save_dialog() -> rx.Component:
    dialog = DialogForm(SAVE, SimulateState.form)
    return form_dialog(
        dialog,
        SimulateState.save,
        text_field(
            dialog, "name", "Name", placeholder="Growth", max_length=200,
            help_text="Use the name of an existing plan to create its next version.",
        ),
        submit="Save as plan version",
        explanation="Customers stay on their current version. Terms can’t be changed later.",
    )  # fmt: skip


def _missing() -> rx.Component:
    return rx.el.div(
        notice(
            "calculator",
            "Price simulation not found",
            "Simulations are removed 7 days after they end.",
            _new_button("plain"),
        ),
        class_name=classes.PANEL,
    )


def _empty() -> rx.Component:
    return rx.el.div(
        notice(
            "calculator",
            "No price simulation yet",
            "A simulation shows what a month would have cost under other prices. It changes nothing.",
            _new_button("plain"),
        ),
        class_name=classes.PANEL,
    )


def _bones() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            skeleton("h-4 w-56"),
            skeleton("mt-2 h-3.5 w-72 max-w-full"),
            class_name=f"{classes.PANEL} px-5 py-4",
        ),
        rx.el.div(
            *[
                rx.el.div(
                    skeleton("h-3.5 w-16"), skeleton("mt-2 h-7 w-24"), class_name=f"{classes.PANEL} px-5 py-4"
                )
                for _ in range(4)
            ],
            class_name=_STATS,
        ),
        table_skeleton(5),
        class_name="flex flex-col gap-4",
    )

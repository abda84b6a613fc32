"""The plans page. docs/pages.md explains how pages work with this one as its example."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.plans import ARCHIVE, PlansState
from billing_app.state.presenters.plans import ChargeItem, PlanItem, VersionItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import by_phase, icon, link, notice, skeleton
from billing_app.ui.kit.buttons import button, icon_button, writers_only
from billing_app.ui.kit.charts import Series, chart_frame, curve_chart
from billing_app.ui.kit.dialogs import confirm_dialog
from billing_app.ui.kit.fields import DialogForm
from billing_app.ui.kit.filters import segments
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.menus import menu, menu_item
from billing_app.ui.kit.tables import page_links
from billing_app.ui.pages.plan_dialog import plan_dialog

_COST = [Series("cost", "Monthly cost")]
_GRID = "grid grid-cols-1 gap-4 lg:grid-cols-2 2xl:grid-cols-3"


def plans() -> rx.Component:
    """Build the page: a card for each plan, and the dialogs that open from them."""
    return page(
        "Plans",
        "Plans",
        rx.el.div(
            _shown(),
            rx.el.div(
                link("Meters", "/plans/meters", classes.BUTTON_QUIET),
                link("Simulate prices", "/plans/simulate", classes.BUTTON_QUIET),
                writers_only(_new_button("primary")),
                class_name="flex flex-wrap gap-2",
            ),
            class_name="mb-4 flex flex-wrap justify-between gap-2",
        ),
        by_phase(
            PlansState.phase,
            PlansState.problem,
            loading=_skeleton(),
            missing=rx.fragment(),
            ready=rx.cond(
                PlansState.rows.length() > 0,
                rx.fragment(
                    rx.el.div(rx.foreach(PlansState.rows, _card), class_name=_GRID),
                    page_links(PlansState.pages),
                ),
                _empty(),
            ),
        ),
        plan_dialog(),
        _archive_dialog(),
    )


def _shown() -> rx.Component:
    show = PlansState.show
    return segments(
        "Which plans",
        ("Current", "/plans", (show != "archived") & (show != "all")),
        ("Archived", "/plans?show=archived", show == "archived"),
        ("All", "/plans?show=all", show == "all"),
    )


def _new_button(look: str) -> rx.Component:
    return button("New plan", "plus", look=look, on_click=PlansState.open_new)


def _card(plan: rx.Var[PlanItem]) -> rx.Component:
    return rx.el.article(
        rx.el.div(
            rx.el.h2(plan.name, class_name="min-w-0 truncate text-base font-semibold leading-6"),
            rx.el.span(plan.version, class_name=f"{classes.BADGE_QUIET} tabular-nums"),
            rx.cond(plan.is_archived, rx.el.span("Archived", class_name=classes.BADGE_HOLD)),
            writers_only(rx.el.div(_menu(plan), class_name="-my-1 -mr-2 ml-auto")),
            class_name="flex min-w-0 items-center gap-2",
        ),
        rx.el.div(
            rx.el.span(plan.price, class_name=f"min-w-0 {classes.FIGURE} {classes.WRAPPED}"),
            rx.el.span("a month", class_name="text-sm text-soft"),
            class_name="mt-2 flex flex-wrap items-baseline gap-x-1.5",
        ),
        _terms(plan),
        rx.el.div(
            chart_frame(
                f"Monthly cost by {plan.units}",
                "Units",
                _COST,
                plan.curve.points,
                curve_chart(_COST[0], plan.curve, unit=plan.symbol),
                height="h-32",
            ),
            class_name="mt-4 border-t border-line pt-3",
        ),
        rx.cond(plan.earlier_count != "", _earlier(plan)),
        # Otherwise the hidden labels of a chart with long amounts would widen the page.
        class_name=f"{classes.PANEL} flex min-w-0 flex-col overflow-x-clip px-5 py-4",
        custom_attrs={"aria-label": plan.name},
    )


def _terms(plan: rx.Var[PlanItem]) -> rx.Component:
    return rx.el.dl(
        rx.cond(
            plan.is_simple,
            rx.fragment(
                _term("Included", plan.included, plan.units),
                _term("Overage", plan.overage, f"per {plan.unit}"),
            ),
            rx.foreach(plan.charges, _charge),
        ),
        rx.el.div(
            rx.el.dt("Customers", class_name=classes.EYEBROW),
            rx.el.dd(link(plan.customers, plan.customers_href), class_name="mt-0.5 tabular-nums"),
        ),
        class_name="mt-4 grid grid-cols-1 gap-x-4 gap-y-3 text-sm min-[400px]:grid-cols-2 sm:grid-cols-3",
    )


def _term(name: str, value: rx.Var[str], unit: rx.Var[str]) -> rx.Component:
    return rx.el.div(
        rx.el.dt(name, class_name=classes.EYEBROW),
        rx.el.dd(
            value,
            " ",
            rx.el.span(unit, class_name="text-soft"),
            class_name=f"mt-0.5 tabular-nums {classes.WRAPPED}",
        ),
        class_name="min-w-0",
    )


def _charge(charge: rx.Var[ChargeItem]) -> rx.Component:
    return rx.el.div(
        rx.el.dt(charge.meter, class_name=f"{classes.EYEBROW} {classes.WRAPPED}"),
        rx.el.dd(charge.terms, class_name=f"mt-0.5 text-pretty tabular-nums {classes.WRAPPED}"),
        class_name="col-span-full min-w-0",
    )


def _menu(plan: rx.Var[PlanItem]) -> rx.Component:
    return menu(
        f"plan-menu-{plan.plan_id}",
        f"Actions for {plan.name}",
        menu_item("New version", "copy-plus", on_click=PlansState.open_version(plan.plan_id)),
        rx.cond(
            ~plan.is_archived,
            menu_item("Archive plan", "archive", danger=True, on_click=PlansState.open_archive(plan.plan_id)),
        ),
    )


def _earlier(plan: rx.Var[PlanItem]) -> rx.Component:
    return rx.el.details(
        rx.el.summary(
            icon("chevron-right", 14, "shrink-0 transition-transform duration-100 group-open:rotate-90"),
            plan.earlier_count,
            class_name="-ml-1 inline-flex h-6 cursor-pointer items-center gap-1 rounded px-1 text-xs font-medium"
            " text-soft hover:bg-hover hover:text-ink [&::-webkit-details-marker]:hidden",
        ),
        rx.el.ul(
            rx.foreach(plan.earlier, _version), class_name="mt-1 divide-y divide-line text-xs tabular-nums"
        ),
        class_name="group mt-3 border-t border-line pt-2",
    )


def _version(version: rx.Var[VersionItem]) -> rx.Component:
    return rx.el.li(
        rx.el.div(
            rx.el.span(version.title, class_name="font-medium text-ink"),
            rx.cond(version.is_archived, " · Archived", ""),
            rx.el.span(" · ", version.customers),
            rx.el.div(version.terms, class_name=classes.WRAPPED),
            class_name="min-w-0 text-soft",
        ),
        rx.cond(
            ~version.is_archived,
            writers_only(
                icon_button(
                    f"Archive {version.title}", "archive", on_click=PlansState.open_archive(version.plan_id)
                )
            ),
        ),
        class_name="flex items-center justify-between gap-2 py-1.5",
    )


def _archive_dialog() -> rx.Component:
    return confirm_dialog(
        DialogForm(ARCHIVE, PlansState.form),
        PlansState.archive,
        "Customers on this version stay on it. New customers can’t be assigned to it. This can’t be undone.",
        submit="Archive plan",
    )


def _empty() -> rx.Component:
    return rx.el.div(
        rx.match(
            PlansState.show,
            (
                "archived",
                notice(
                    "archive",
                    "No archived plans",
                    "Archived plans appear here. Customers on them keep their terms.",
                    link("Current plans", "/plans", classes.BUTTON),
                ),
            ),
            notice(
                "layers",
                "No plans yet",
                "A plan sets a monthly price and the prices of usage. Every customer is on one.",
                writers_only(_new_button("plain")),
            ),
        ),
        class_name=classes.PANEL,
    )


def _skeleton() -> rx.Component:
    card = rx.el.div(
        skeleton("h-5 w-28"),
        skeleton("mt-3 h-7 w-24"),
        skeleton("mt-5 h-8 w-full"),
        skeleton("mt-6 h-32 w-full"),
        class_name=f"{classes.PANEL} px-5 py-4",
    )
    return rx.el.div(*[card for _ in range(3)], class_name=_GRID)

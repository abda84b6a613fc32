"""The dashboard: figures that link to the lists they count, and charts of usage and revenue."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.dashboard import DashboardState
from billing_app.state.pages.getting_started import GettingStartedState
from billing_app.state.presenters.dashboard import AgeItem, Choice, Figure, LargestItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text, by_phase, icon, link, notice, skeleton
from billing_app.ui.kit.buttons import writers_only
from billing_app.ui.kit.cards import card, stat
from billing_app.ui.kit.charts import Series, area_chart, bar_chart, chart_frame
from billing_app.ui.kit.filters import pick
from billing_app.ui.kit.layout import page
from billing_app.ui.pages.getting_started import getting_started

_USAGE = [
    Series("this", DashboardState.month),
    Series("last", DashboardState.last_month, quiet=True),
]
_REVENUE = [Series("base", "Base"), Series("usage", "Usage"), Series("other", "Other")]
_CARDS = "grid grid-cols-1 gap-4 sm:grid-cols-2 lg:grid-cols-3"
_HALVES = "mt-4 grid grid-cols-1 gap-4 lg:grid-cols-2"
# Sums with many digits have a smaller font and may wrap, but are never cut off.
_LONG = "text-base leading-6 tracking-normal [overflow-wrap:anywhere]"
_BAR = "h-1.5 min-w-px rounded-full"


def dashboard() -> rx.Component:
    """Create the page: the guide for a new installation, cards, and charts and lists in one currency."""
    return page(
        "Dashboard",
        "Dashboard",
        by_phase(
            DashboardState.phase,
            DashboardState.problem,
            loading=_skeleton(),
            missing=rx.fragment(),
            ready=rx.fragment(
                getting_started(),
                rx.cond(
                    DashboardState.is_counted,
                    rx.cond(
                        DashboardState.has_customers,
                        _figures(),
                        # The guide already says what to do, so no empty state is shown below it.
                        rx.cond(GettingStartedState.is_shown, rx.fragment(), _empty()),
                    ),
                    _not_counted(),
                ),
            ),
        ),
    )


def _figures() -> rx.Component:
    return rx.fragment(
        rx.el.div(
            rx.el.div(
                rx.cond(DashboardState.choices.length() > 1, _currencies()),
                rx.cond(
                    DashboardState.meters.length() > 1,
                    pick("Meter", "meter", DashboardState.meters),
                ),
                class_name="flex min-w-0 flex-wrap items-center gap-2 empty:hidden",
            ),
            rx.el.p(
                "As of ",
                rx.el.time(DashboardState.as_of, title=DashboardState.as_of_utc),
                class_name="ml-auto text-xs tabular-nums text-faint",
            ),
            class_name="mb-4 flex min-h-8 flex-wrap items-center justify-between gap-2",
        ),
        rx.el.div(
            _stat("MRR", DashboardState.mrr),
            _stat("Active customers", DashboardState.active),
            _stat(DashboardState.usage.label, DashboardState.usage),
            _stat(f"Invoiced for {DashboardState.last_month}", DashboardState.invoiced),
            _stat("Outstanding", DashboardState.outstanding),
            _stat("Overdue", DashboardState.overdue),
            rx.cond(DashboardState.credit.lead != "", _stat("Credits held", DashboardState.credit)),
            rx.foreach(DashboardState.unpriced, lambda figure: _stat(figure.label, figure)),
            class_name=_CARDS,
        ),
        rx.el.div(_usage(), _revenue(), class_name=_HALVES),
        rx.el.div(_receivables(), _largest(), class_name=_HALVES),
    )


def _currencies() -> rx.Component:
    """Select the currency that is shown first and in the charts."""
    return rx.el.nav(
        rx.foreach(DashboardState.choices, _choice), aria_label="Currency", class_name=classes.SEGMENTS
    )


def _choice(choice: rx.Var[Choice]) -> rx.Component:
    return rx.cond(
        choice.is_here,
        link(choice.text, choice.href, classes.SEGMENT_CURRENT, custom_attrs={"aria-current": "page"}),
        link(choice.text, choice.href, classes.SEGMENT_OTHER),
    )


def _stat(label: Text, figure: rx.Var[Figure]) -> rx.Component:
    return stat(
        label,
        rx.el.span(
            rx.el.span(
                figure.lead,
                class_name=f"{rx.cond(figure.is_alarming, 'text-bad', '')} {rx.cond(figure.is_long, _LONG, '')}",
            ),
            rx.cond(
                figure.others != "",
                rx.el.span(
                    figure.others,
                    class_name=f"text-sm font-medium tracking-normal text-soft {classes.WRAPPED}",
                ),
            ),
            # Amounts in other currencies wrap below the first one when there is no room next to it.
            class_name="flex flex-wrap items-baseline gap-x-2",
        ),
        figure.caption,
        figure.href,
    )


def _usage() -> rx.Component:
    return rx.el.section(
        chart_frame(
            DashboardState.usage_title,
            "Day",
            _USAGE,
            DashboardState.days,
            area_chart(_USAGE, DashboardState.days),
        ),
        class_name=f"{classes.PANEL} min-w-0 px-5 py-4",
    )


def _revenue() -> rx.Component:
    drawing = bar_chart(_REVENUE, DashboardState.revenue, unit=DashboardState.symbol)
    return rx.el.section(
        chart_frame(
            f"Revenue per month, {DashboardState.currency}",
            "Month",
            _REVENUE,
            DashboardState.revenue,
            drawing,
        ),
        class_name=f"{classes.PANEL} min-w-0 px-5 py-4",
    )


def _receivables() -> rx.Component:
    return card(
        f"Receivables by age, {DashboardState.currency}",
        rx.el.ul(rx.foreach(DashboardState.ages, _age), class_name="mt-1 flex flex-col gap-2 lg:gap-5"),
        actions=link("Outstanding invoices", DashboardState.outstanding_href, f"{classes.LINK} text-xs"),
    )


def _age(age: rx.Var[AgeItem]) -> rx.Component:
    return rx.el.li(
        rx.el.div(
            link(age.label, age.href, f"shrink-0 text-ink {classes.ROW_LINK} after:rounded-md"),
            rx.el.span(
                rx.el.span(age.invoices, class_name="mr-3 text-xs text-faint"),
                rx.el.span(age.amount, class_name="font-medium text-ink"),
                class_name=f"min-w-0 text-right tabular-nums {classes.WRAPPED}",
            ),
            class_name="flex items-baseline justify-between gap-3 text-sm",
        ),
        _bar(age.share, rx.cond(age.is_overdue, f"{_BAR} bg-bad", f"{_BAR} bg-bar")),
        class_name="relative -mx-2 rounded-md px-2 py-1 hover:bg-hover",
    )


def _bar(share: rx.Var[int], class_name: rx.Var[str] | str) -> rx.Component:
    """Draw the share of the largest amount in the list. The number is next to it."""
    return rx.el.div(
        rx.cond(share > 0, rx.el.div(class_name=class_name, style={"width": f"{share}%"})),
        class_name="mt-1 h-1.5 rounded-full bg-hover",
        aria_hidden=True,
    )


def _largest() -> rx.Component:
    return card(
        f"Largest customers, {DashboardState.currency}",
        rx.cond(
            DashboardState.largest.length() > 0,
            rx.fragment(
                rx.el.ol(rx.foreach(DashboardState.largest, _customer), class_name="mt-1"),
                rx.el.p("By invoiced amount, last 12 months", class_name=f"mt-3 {classes.CAPTION}"),
            ),
            rx.el.p("No invoices in the last 12 months.", class_name="mt-2 text-sm text-soft"),
        ),
    )


def _customer(each: rx.Var[LargestItem]) -> rx.Component:
    return rx.el.li(
        rx.el.span(each.place, class_name="w-4 shrink-0 text-right text-xs tabular-nums text-faint"),
        link(
            each.name,
            each.href,
            f"min-w-0 flex-1 truncate font-medium text-ink {classes.ROW_LINK} after:rounded-md",
        ),
        rx.el.div(_bar(each.share, f"{_BAR} bg-bar"), class_name="hidden w-24 shrink-0 sm:block [&>*]:mt-0"),
        rx.el.span(
            each.amount, class_name=f"max-w-[55%] min-w-28 text-right tabular-nums text-ink {classes.WRAPPED}"
        ),
        class_name="relative -mx-2 flex min-h-8 items-center gap-3 py-1 rounded-md px-2 text-sm hover:bg-hover",
    )


def _not_counted() -> rx.Component:
    return rx.el.div(
        notice(
            "chart-no-axes-column",
            "Calculating your figures",
            "This runs in the background. The figures appear here as soon as they are ready.",
        ),
        class_name=classes.PANEL,
        role="status",
    )


def _empty() -> rx.Component:
    """The state of an installation without customers, for viewers who don't see the guide."""
    return rx.el.div(
        notice(
            "layout-dashboard",
            "No figures yet",
            "Revenue, usage and receivables appear here once there are customers.",
            writers_only(link(rx.fragment(icon("users"), "Go to customers"), "/customers", classes.BUTTON)),
        ),
        class_name=classes.PANEL,
    )


def _skeleton() -> rx.Component:
    small = rx.el.div(
        skeleton("h-3 w-24"),
        skeleton("mt-3 h-6 w-32"),
        skeleton("mt-3 h-3 w-40"),
        class_name=f"{classes.PANEL} px-5 py-4",
    )
    large = rx.el.div(
        skeleton("h-4 w-40"), skeleton("mt-4 h-52 w-full"), class_name=f"{classes.PANEL} px-5 py-4"
    )
    return rx.fragment(
        rx.el.div(*[small for _ in range(6)], class_name=f"mt-12 {_CARDS}"),
        rx.el.div(large, large, class_name=_HALVES),
    )

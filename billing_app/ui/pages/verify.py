"""Verification: the result of the last one, and a button that starts another."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.verify import VerifyState
from billing_app.state.presenters.verify import AwaitingItem, Check, DiscrepancyItem, GapItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text, by_phase, icon, link, notice, skeleton
from billing_app.ui.kit.buttons import button, writers_only
from billing_app.ui.kit.cards import card, progress
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.tables import column, page_links, table, table_skeleton

_MARK = "flex size-10 shrink-0 items-center justify-center rounded-lg"
_WRAP = f"{classes.TD} !h-auto !whitespace-normal py-2.5 align-top"


def verify() -> rx.Component:
    """The verdict, the discrepancies, and what was checked."""
    return page(
        "Verification",
        "Verification",
        by_phase(
            VerifyState.phase,
            VerifyState.problem,
            loading=_bones(),
            missing=rx.fragment(),
            ready=rx.el.div(
                rx.cond(VerifyState.is_running, _running()),
                rx.cond(VerifyState.fault != "", _failed()),
                rx.cond(
                    VerifyState.verdict.outcome != "",
                    _result(),
                    rx.cond(~VerifyState.is_running, _empty()),
                ),
                class_name="flex flex-col gap-4",
            ),
        ),
    )


def _start() -> rx.Component:
    return writers_only(
        button(
            "Start verification",
            "shield-check",
            look="primary",
            on_click=VerifyState.start,
            disabled=VerifyState.is_running,
        )
    )


def _running() -> rx.Component:
    running = VerifyState.progress
    return rx.el.section(
        progress("Verifying", running.done, running.total, running.caption),
        rx.el.p(
            running.by,
            " Verification continues if you close this page.",
            class_name="mt-2 text-xs text-faint",
        ),
        class_name=f"{classes.PANEL} px-5 py-4",
    )


def _failed() -> rx.Component:
    return rx.el.section(
        rx.el.div(icon("circle-alert", 20), class_name=f"{_MARK} bg-bad-soft text-bad"),
        rx.el.p(
            f"Verification failed: {VerifyState.fault} Start another verification to get a result.",
            class_name="min-w-0 flex-1 basis-56 text-sm text-soft [overflow-wrap:anywhere]",
        ),
        class_name=f"{classes.PANEL} flex flex-wrap items-center gap-4 px-5 py-4",
        aria_label="Failed verification",
    )


def _result() -> rx.Component:
    return rx.fragment(
        _verdict(),
        rx.cond(VerifyState.discrepancies.length() > 0, _discrepancies()),
        rx.cond(VerifyState.awaiting.length() > 0, _awaiting()),
        rx.cond(VerifyState.gaps.length() > 0, _gaps()),
        _checks(),
    )


def _verdict() -> rx.Component:
    found = VerifyState.verdict
    return rx.el.section(
        rx.cond(
            found.outcome == "good",
            rx.el.div(icon("shield-check", 20), class_name=f"{_MARK} bg-good-soft text-good"),
            rx.el.div(icon("shield-alert", 20), class_name=f"{_MARK} bg-bad-soft text-bad"),
        ),
        rx.el.div(
            rx.el.h2(found.title, class_name="text-base font-semibold leading-6"),
            rx.el.p(
                "As of ",
                rx.el.time(found.at, title=found.at_utc, class_name="tabular-nums"),
                ", started by ",
                found.by,
                ", took ",
                found.took,
                class_name="text-sm text-soft",
            ),
            class_name="min-w-0 flex-1 basis-56",
        ),
        _start(),
        class_name=f"{classes.PANEL} flex flex-wrap items-center gap-4 px-5 py-4",
        aria_label="Last verification",
    )


def _checks() -> rx.Component:
    return card(
        "What was checked",
        rx.el.p(
            "Everything is recomputed from usage events, plans and payments, and compared with what is stored.",
            class_name="max-w-prose text-sm text-soft",
        ),
        rx.el.ul(rx.foreach(VerifyState.checks, _check), class_name="mt-3"),
    )


def _check(check: rx.Var[Check]) -> rx.Component:
    return rx.el.li(
        rx.match(
            check.mark,
            ("good", rx.el.span(icon("check"), class_name="mt-0.5 text-good")),
            ("bad", rx.el.span(icon("x"), class_name="mt-0.5 text-bad")),
            rx.el.span(icon("dot"), class_name="mt-0.5 text-faint"),
        ),
        rx.el.div(
            rx.el.div(check.title, class_name="font-medium text-ink"),
            rx.el.div(check.explanation, class_name="text-soft"),
            class_name="min-w-0 flex-1",
        ),
        rx.el.div(
            rx.el.div(check.count, class_name="font-medium text-ink"),
            rx.el.div(check.outcome, class_name="text-xs text-faint"),
            class_name="w-24 shrink-0 text-right tabular-nums sm:w-40 lg:w-80",
        ),
        class_name="flex gap-3 border-t border-line py-3 text-sm last:pb-0",
    )


def _discrepancies() -> rx.Component:
    return rx.el.section(
        _heading("Discrepancies", VerifyState.discrepancies_count),
        table(
            "Discrepancies",
            [column("Invoice or customer"), column("Discrepancy")],
            rx.foreach(VerifyState.discrepancies, _discrepancy),
        ),
        page_links(VerifyState.pages),
    )


def _heading(title: str, count: Text) -> rx.Component:
    return rx.el.div(
        rx.el.h2(title, class_name="text-sm font-semibold"),
        rx.el.span(count, class_name="text-xs tabular-nums text-faint"),
        class_name="mb-2 mt-2 flex items-baseline gap-2",
    )


def _discrepancy(discrepancy: rx.Var[DiscrepancyItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            rx.cond(
                discrepancy.href != "",
                link(discrepancy.subject, discrepancy.href),
                discrepancy.subject,
            ),
            class_name=f"{_WRAP} w-28 font-medium [overflow-wrap:anywhere] lg:w-56",
        ),
        rx.el.td(discrepancy.sentence, class_name=f"{_WRAP} text-ink [overflow-wrap:anywhere]"),
        class_name=classes.TR,
    )


def _awaiting() -> rx.Component:
    return rx.el.section(
        _heading("Closed months without an invoice", VerifyState.awaiting_count),
        table(
            "Closed months without an invoice",
            [column("Customer"), column("Month")],
            rx.foreach(VerifyState.awaiting, _month),
        ),
        rx.el.p(
            VerifyState.awaiting_more,
            "To create these invoices, run invoices for the month.",
            class_name="mt-2 text-xs text-faint",
        ),
    )


def _month(each: rx.Var[AwaitingItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(link(each.customer, each.href), class_name=f"{classes.TD} w-28 font-medium sm:w-56"),
        rx.el.td(each.month, class_name=classes.TD),
        class_name=classes.TR,
    )


def _gaps() -> rx.Component:
    return rx.el.section(
        _heading("Skipped invoice numbers", VerifyState.gaps_count),
        table(
            "Skipped invoice numbers",
            [column("Customer"), column("Numbers")],
            rx.foreach(VerifyState.gaps, _gap),
        ),
        rx.el.p(
            "The database was restored from a backup that does not contain these invoices. They are not"
            " discrepancies.",
            class_name="mt-2 text-xs text-faint",
        ),
    )


def _gap(each: rx.Var[GapItem]) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            link(each.customer, each.href),
            class_name=f"{_WRAP} w-28 font-medium [overflow-wrap:anywhere] lg:w-56",
        ),
        rx.el.td(each.sentence, class_name=f"{_WRAP} text-ink [overflow-wrap:anywhere]"),
        class_name=classes.TR,
    )


def _empty() -> rx.Component:
    return rx.el.div(
        notice(
            "shield-check",
            "No verification yet",
            "A verification recomputes every invoice from usage events, plans and payments, and lists every"
            " discrepancy.",
            _start(),
        ),
        class_name=classes.PANEL,
    )


def _bones() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            skeleton("size-10 rounded-lg"),
            rx.el.div(skeleton("h-4 w-40"), skeleton("mt-2 h-3.5 w-64 max-w-full"), class_name="min-w-0"),
            class_name=f"{classes.PANEL} flex gap-4 px-5 py-4",
        ),
        table_skeleton(5),
        class_name="flex flex-col gap-4",
    )

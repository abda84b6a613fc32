"""The audit log: who did what, when, and to what."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.audit import AuditState
from billing_app.state.presenters.audit import AuditItem, Detail
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import by_phase, icon, link, notice
from billing_app.ui.kit.filters import filters, search_filter, select_filter
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.tables import column, number_column, page_links, table, table_skeleton

_CELL = f"{classes.TD} !whitespace-normal !h-auto py-2.5 align-top"
_QUIET_LINK = "text-ink underline-offset-4 hover:underline"


def audit() -> rx.Component:
    """Create the page: filters, and the entries, newest first."""
    return page(
        "Audit log",
        "Audit log",
        filters(
            search_filter("Subject", "Customer key, invoice or ID", name="subject"),
            select_filter("Actor", "actor", AuditState.actors, everything="All actors"),
        ),
        by_phase(
            AuditState.phase,
            AuditState.problem,
            loading=table_skeleton(12),
            missing=rx.fragment(),
            ready=rx.cond(
                AuditState.rows.length() > 0,
                rx.fragment(
                    table(
                        "Audit log",
                        [
                            column("Action"),
                            column("Subject", wide_only=True),
                            column("Actor", wide_only=True),
                            column("Details", wide_only=True),
                            number_column("Time", wide_only=True),
                        ],
                        rx.foreach(AuditState.rows, _row),
                    ),
                    page_links(AuditState.pages),
                ),
                _empty(),
            ),
        ),
    )


def _row(entry: rx.Var[AuditItem]) -> rx.Component:
    wide = f"{_CELL} {classes.WIDE_ONLY}"
    return rx.el.tr(
        rx.el.td(
            rx.el.div(entry.action, class_name="font-medium text-ink"),
            _narrow(entry),
            class_name=f"{_CELL} md:!whitespace-nowrap",
        ),
        rx.el.td(_subject(entry), class_name=wide),
        rx.el.td(
            _who(entry),
            rx.cond(entry.actor_note != "", rx.el.div(entry.actor_note, class_name=classes.CAPTION)),
            class_name=wide,
        ),
        rx.el.td(_details(entry), class_name=f"{wide} w-[40%]"),
        rx.el.td(
            rx.el.time(entry.at, title=entry.at_utc),
            class_name=f"{wide} !whitespace-nowrap text-right tabular-nums",
        ),
        class_name=f"{classes.TR} group hover:bg-hover",
    )


def _narrow(entry: rx.Var[AuditItem]) -> rx.Component:
    """Create what the columns contain that narrow screens don't have."""
    return rx.el.div(
        _subject(entry),
        rx.el.div("by ", _who(entry), class_name="[overflow-wrap:anywhere]"),
        _details(entry),
        rx.el.time(entry.at, title=entry.at_utc, class_name="tabular-nums text-faint"),
        class_name="mt-0.5 space-y-0.5 text-xs leading-4 md:hidden",
    )


def _who(entry: rx.Var[AuditItem]) -> rx.Component:
    return link(entry.actor, entry.actor_href, _QUIET_LINK, title=f"Show only what {entry.actor} did")


def _subject(entry: rx.Var[AuditItem]) -> rx.Component:
    return rx.el.span(
        rx.cond(
            entry.subject_href != "",
            link(entry.subject, entry.subject_href, f"{classes.LINK} truncate", title=entry.subject),
            rx.el.span(entry.subject, class_name="truncate text-ink", title=entry.subject),
        ),
        link(
            icon("list-filter", 12),
            entry.subject_only_href,
            "inline-flex size-5 shrink-0 items-center justify-center rounded text-faint hover:bg-hover"
            " hover:text-ink md:opacity-0 md:group-hover:opacity-100 md:focus-visible:opacity-100",
            aria_label=f"Show only entries about {entry.subject}",
            title=f"Show only entries about {entry.subject}",
        ),
        class_name="flex min-w-0 items-center gap-1 md:max-w-56",
    )


def _details(entry: rx.Var[AuditItem]) -> rx.Component:
    return rx.el.dl(
        rx.foreach(entry.details, _detail),
        class_name="flex flex-wrap gap-x-3 gap-y-0.5 text-xs leading-5",
    )


def _detail(detail: rx.Var[Detail]) -> rx.Component:
    return rx.el.div(
        rx.el.dt(detail.name, class_name="inline text-faint"),
        " ",
        rx.el.dd(detail.value, class_name="inline whitespace-pre-line tabular-nums text-soft"),
        class_name="min-w-0 [overflow-wrap:anywhere]",
    )


def _empty() -> rx.Component:
    return rx.el.div(
        rx.cond(
            AuditState.is_filtered,
            notice(
                "search",
                "No matching entries",
                "Search for a customer's key, an invoice number, or an ID such as usr_4.",
                link("Clear filters", "/audit", classes.BUTTON),
            ),
            notice(
                "scroll-text",
                "No entries yet",
                "Every change is recorded here with the user who made it. Entries can't be altered or deleted.",
            ),
        ),
        class_name=classes.PANEL,
    )

"""Tables: a scrolling frame, rows that are links, and links to the previous and next pages."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.state.kit.lists import Pages, Sorting
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text, icon, link, skeleton


def table(label: str, head: list[rx.Component], body: Any, *, tall: bool = False) -> rx.Component:
    """Create a table in its frame. `label` names it for screen readers.

    A `tall` table scrolls under its header. Narrow screens hide columns that are `wide_only` and show a
    caption in the first column instead.
    """
    return rx.el.div(
        rx.el.table(
            rx.el.thead(rx.el.tr(*head)),
            rx.el.tbody(body),
            class_name=classes.TABLE,
            aria_label=label,
        ),
        class_name=classes.TABLE_FRAME_TALL if tall else classes.TABLE_FRAME,
        tab_index=0 if tall else None,
    )


def column(title: Text, *, wide_only: bool = False) -> rx.Component:
    """Create the head of a text column."""
    return rx.el.th(
        title, scope="col", class_name=f"{classes.TH} {classes.WIDE_ONLY}" if wide_only else classes.TH
    )


def number_column(title: str, *, wide_only: bool = False) -> rx.Component:
    """Create the head of a column of numbers, which are right-aligned."""
    return rx.el.th(
        title,
        scope="col",
        class_name=f"{classes.TH_NUMBER} {classes.WIDE_ONLY}" if wide_only else classes.TH_NUMBER,
    )


def sort_column(
    title: str, sorting: rx.Var[Sorting], *, number: bool = False, wide_only: bool = False
) -> rx.Component:
    """Create the head of a sortable column: a link, since the order is in the address."""
    look = classes.TH_NUMBER if number else classes.TH
    return rx.el.th(
        link(
            rx.fragment(
                title,
                rx.match(
                    sorting.direction,
                    ("ascending", icon("arrow-up", 12)),
                    ("descending", icon("arrow-down", 12)),
                    icon("arrow-up", 12, "shrink-0 opacity-0 group-hover:opacity-50"),
                ),
            ),
            sorting.href,
            "group inline-flex items-center gap-1 rounded hover:text-ink"
            + (" flex-row-reverse" if number else ""),
        ),
        scope="col",
        class_name=f"{look} {classes.WIDE_ONLY}" if wide_only else look,
        custom_attrs={"aria-sort": sorting.direction},
    )


def row_link(text: rx.Var[str], href: rx.Var[str]) -> rx.Component:
    """Create the link of a row. The whole row can be clicked."""
    return link(text, href, classes.ROW_LINK)


def table_skeleton(rows: int = 8) -> rx.Component:
    """Create the placeholder of a table that is loading."""
    line = rx.el.div(
        skeleton("h-3.5 w-40"),
        skeleton("ml-auto h-3.5 w-20"),
        skeleton("hidden h-3.5 w-24 md:block"),
        class_name="flex h-10 items-center gap-8 border-b border-line px-3 last:border-b-0",
    )
    return rx.el.div(
        rx.el.div(class_name="h-9 border-b border-line bg-sunken"),
        *[line for _ in range(rows)],
        class_name=f"{classes.PANEL} overflow-hidden",
    )


def page_links(pages: rx.Var[Pages]) -> rx.Component:
    """Create the links to the previous and next pages of a list."""
    return pagination(pages.previous_href, pages.next_href)


def pagination(previous_href: rx.Var[str], next_href: rx.Var[str]) -> rx.Component:
    """Create links to the previous and next pages; nothing when there is only one page."""
    return rx.cond(
        (previous_href != "") | (next_href != ""),
        rx.el.nav(
            _step(rx.fragment(icon("chevron-left"), "Previous"), previous_href),
            _step(rx.fragment("Next", icon("chevron-right")), next_href),
            aria_label="Pages",
            class_name="mt-3 flex justify-end gap-2",
        ),
    )


def _step(content: rx.Component, href: rx.Var[str]) -> rx.Component:
    return rx.cond(
        href != "",
        link(content, href, classes.BUTTON),
        rx.el.span(content, class_name=f"{classes.BUTTON} opacity-50", aria_disabled=True),
    )

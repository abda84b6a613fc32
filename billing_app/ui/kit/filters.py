"""Filters of a list: fields and links. assets/js/navigation.js writes their values to the address."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Flag, Text, icon, link
from billing_app.ui.kit.fields import option_elements


def filters(*fields: rx.Component) -> rx.Component:
    """Create the bar above a list. It belongs outside `by_phase`, so that it stays while the list reloads."""
    return rx.el.form(
        *fields,
        # A form with two text fields needs a button for Enter to submit it.
        rx.el.button("Search", type="submit", class_name="hidden"),
        role="search",
        class_name="mb-4 flex flex-wrap items-center gap-2",
        custom_attrs={"data-filters": ""},
    )


def search_filter(label: str, placeholder: str, name: str = "search") -> rx.Component:
    """Create a field that searches while typing, without a history entry per letter. `/` focuses it."""
    return rx.el.div(
        icon("search", 16, "pointer-events-none absolute left-2.5 top-2 text-faint"),
        rx.el.input(
            name=name,
            type="search",
            aria_label=label,
            placeholder=placeholder,
            auto_complete="off",
            max_length=200,
            class_name="h-8 w-full rounded-md border border-field-line bg-raised pl-8 pr-8 text-sm text-ink"
            " placeholder:text-faint focus-visible:outline-offset-0",
            custom_attrs={"data-search": "", "aria-keyshortcuts": "/"},
        ),
        shortcut("/"),
        class_name="relative w-full sm:w-72",
    )


def select_filter(
    label: str,
    name: str,
    options: list[tuple[str, str]] | rx.Var[Any],
    *,
    everything: str,
) -> rx.Component:
    """Create a list of `options` to filter by; `everything` is the label for no filter."""
    return rx.el.select(
        rx.el.option(everything, value=""),
        option_elements(options),
        name=name,
        aria_label=label,
        class_name=f"{classes.FILTER} max-w-full",
    )


def suggest_filter(label: str, name: str, options: rx.Var[Any], *, everything: str) -> rx.Component:
    """Create a field to filter by one of many values. `options` has those that match the typed text."""
    listed = f"filter-{name}-options"
    return rx.fragment(
        rx.el.input(
            name=name,
            type="search",
            aria_label=label,
            placeholder=everything,
            auto_complete="off",
            max_length=200,
            class_name="h-8 w-48 max-w-full rounded-md border border-field-line bg-raised px-2.5 text-sm text-ink"
            " placeholder:text-faint focus-visible:outline-offset-0",
            custom_attrs={"list": listed},
        ),
        rx.el.datalist(option_elements(options), custom_attrs={"id": listed}),
    )


def pick(label: str, name: str, options: rx.Var[Any]) -> rx.Component:
    """Create a list to pick what a page or a card shows. The first choice of the page has an empty value."""
    return rx.el.form(
        rx.el.select(
            option_elements(options),
            name=name,
            aria_label=label,
            class_name=f"{classes.FILTER} max-w-full",
        ),
        class_name="min-w-0 max-w-full",
        custom_attrs={"data-filters": ""},
    )


def ambiguous_matches(question: str, matches: rx.Var[Any]) -> rx.Component:
    """Show the values that an ambiguous filter matches, as links."""
    return rx.el.div(
        rx.el.h2(question, class_name="mb-2 text-sm font-semibold"),
        rx.el.ul(
            rx.foreach(matches, lambda each: rx.el.li(link(each.text, each.value), class_name="py-1 text-sm"))
        ),
        class_name="px-5 py-4",
    )


def shortcut(key: str) -> rx.Component:
    """Show the key that focuses the surrounding field."""
    return rx.el.kbd(
        key,
        class_name="pointer-events-none absolute right-1.5 top-1.5 hidden h-5 items-center rounded border"
        " border-line bg-sunken px-1.5 font-sans text-xs text-faint md:inline-flex",
        aria_hidden=True,
    )


def segments(label: str, *choices: tuple[str, Text, Flag]) -> rx.Component:
    """Create a few alternatives side by side, as links: text, address, and whether it is the current one."""
    return rx.el.nav(
        *[
            rx.cond(
                is_current,
                link(text, href, classes.SEGMENT_CURRENT, custom_attrs={"aria-current": "page"}),
                link(text, href, classes.SEGMENT_OTHER),
            )
            for text, href, is_current in choices
        ],
        aria_label=label,
        class_name=classes.SEGMENTS,
    )

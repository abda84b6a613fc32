"""Narrowing a list: fields and links whose values live in the address, written there by assets/app.js."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Flag, Text, icon, link
from billing_app.ui.kit.fields import option_elements


def filters(*fields: rx.Component) -> rx.Component:
    """The bar above a list. Outside of `by_phase`: it stays while the list is read again."""
    return rx.el.form(
        *fields,
        # Without one Enter does nothing as soon as there are two fields to type in.
        rx.el.button("Search", type="submit", class_name="hidden"),
        role="search",
        class_name="mb-4 flex flex-wrap items-center gap-2",
        custom_attrs={"data-filters": ""},
    )


def search_filter(label: str, placeholder: str, name: str = "search") -> rx.Component:
    """Searches as somebody types, without a step back for each letter. `/` leads to it."""
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
    label: str, name: str, options: list[tuple[str, str]] | rx.Var[Any], *, everything: str
) -> rx.Component:
    """One of `options`, or all of them: `everything` is what that is called."""
    return rx.el.select(
        rx.el.option(everything, value=""),
        option_elements(options),
        name=name,
        aria_label=label,
        class_name=f"{classes.FILTER} max-w-full",
    )


def suggest_filter(label: str, name: str, options: rx.Var[Any], *, everything: str) -> rx.Component:
    """One of more than a list can hold: `options` are those that fit what is typed."""
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


def which_one(question: str, meant: rx.Var[Any]) -> rx.Component:
    """What may be meant by a filter that fits several, as links: rows with an address and a text."""
    return rx.el.div(
        rx.el.h2(question, class_name="mb-2 text-sm font-semibold"),
        rx.el.ul(
            rx.foreach(meant, lambda each: rx.el.li(link(each.text, each.value), class_name="py-1 text-sm"))
        ),
        class_name="px-5 py-4",
    )


def shortcut(key: str) -> rx.Component:
    """The key that leads to the field it stands in."""
    return rx.el.kbd(
        key,
        class_name="pointer-events-none absolute right-1.5 top-1.5 hidden h-5 items-center rounded border"
        " border-line bg-sunken px-1.5 font-sans text-xs text-faint md:inline-flex",
        aria_hidden=True,
    )


def segments(label: str, *choices: tuple[str, Text, Flag]) -> rx.Component:
    """A few alternatives side by side, as links: text, address, and whether it is shown now."""
    return rx.el.nav(
        *[
            rx.cond(
                here,
                link(text, href, classes.SEGMENT_HERE, custom_attrs={"aria-current": "page"}),
                link(text, href, classes.SEGMENT_AWAY),
            )
            for text, href, here in choices
        ],
        aria_label=label,
        class_name=classes.SEGMENTS,
    )

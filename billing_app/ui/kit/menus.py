"""A menu of the actions that are not worth a button each: a native popover, placed by assets/app.js."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text, icon, link


def menu(menu_id: Text, label: Text, *items: rx.Component, icon_name: str = "ellipsis") -> rx.Component:
    """`menu_id` is its own on the page: within a list, made from the row's id."""
    return rx.fragment(
        rx.el.button(
            icon(icon_name),
            type="button",
            aria_label=label,
            class_name=classes.BUTTON_ICON,
            custom_attrs={"popoverTarget": menu_id, "aria-haspopup": "menu"},
        ),
        rx.el.div(
            *items,
            role="menu",
            aria_label=label,
            class_name=classes.MENU,
            custom_attrs={"id": menu_id, "popover": "auto", "data-menu": ""},
        ),
    )


def menu_item(label: Text, icon_name: str = "", *, danger: bool = False, **props: Any) -> rx.Component:
    """An action of a menu; choosing it closes the menu."""
    return rx.el.button(
        icon(icon_name, 16, "shrink-0 opacity-70") if icon_name else rx.fragment(),
        label,
        type="button",
        role="menuitem",
        class_name=classes.MENU_ITEM_DANGER if danger else classes.MENU_ITEM,
        **props,
    )


def menu_link(label: Text, href: Text, icon_name: str = "") -> rx.Component:
    """A way to somewhere else in a menu."""
    content = rx.fragment(icon(icon_name, 16, "shrink-0 opacity-70") if icon_name else rx.fragment(), label)
    return link(content, href, classes.MENU_ITEM, role="menuitem")

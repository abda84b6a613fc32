"""Menus of less common actions: native popovers, placed by assets/js/dialogs.js."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text, icon, link


def menu(menu_id: Text, label: Text, *items: rx.Component, icon_name: str = "ellipsis") -> rx.Component:
    """Create a menu with its button. `menu_id` is unique on the page: in a list, it contains the row's id."""
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
    """Create an action of a menu. Selecting it closes the menu."""
    return rx.el.button(
        icon(icon_name, 16, "shrink-0 opacity-70") if icon_name else rx.fragment(),
        label,
        type="button",
        role="menuitem",
        class_name=classes.MENU_ITEM_DANGER if danger else classes.MENU_ITEM,
        **props,
    )


def menu_link(label: Text, href: Text, icon_name: str = "") -> rx.Component:
    """Create a link of a menu."""
    content = rx.fragment(icon(icon_name, 16, "shrink-0 opacity-70") if icon_name else rx.fragment(), label)
    return link(content, href, classes.MENU_ITEM, role="menuitem")

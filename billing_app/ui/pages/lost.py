"""The page for an address that does not exist."""

from __future__ import annotations

import reflex as rx

from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import link, notice
from billing_app.ui.kit.brand import wordmark


def not_found() -> rx.Component:
    """Create the page, without the frame, because visitors who are not signed in see it too."""
    return rx.el.main(
        wordmark(),
        notice(
            "map-pin-off",
            "Page not found",
            "Check the address, or start from the dashboard.",
            link("Go to the dashboard", "/", classes.BUTTON),
        ),
        rx.el.h1("Not found", class_name=classes.SCREEN_READER),
        class_name="flex min-h-screen flex-col items-center bg-ground px-5 pt-[14vh] text-ink",
    )

"""The page for an address that is none."""

from __future__ import annotations

import reflex as rx

from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import link, notice
from billing_app.ui.kit.brand import wordmark


def not_found() -> rx.Component:
    """Nothing at this address; without a frame, since anybody may see it."""
    return rx.el.main(
        wordmark(),
        notice(
            "map-pin-off",
            "There is nothing at this address",
            "It may have been mistyped, or be from a newer version.",
            link("Go to the start", "/", classes.BUTTON),
        ),
        rx.el.h1("Not found", class_name=classes.SCREEN_READER),
        class_name="flex min-h-screen flex-col items-center bg-ground px-5 pt-[14vh] text-ink",
    )

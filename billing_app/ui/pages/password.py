"""The page that changes the password. As for signing in, assets/js/session.js handles the form."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.password import PasswordState
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import field, link
from billing_app.ui.kit.brand import mark


def password() -> rx.Component:
    """Create the page. Users with a one-time password can't leave it without choosing another password."""
    return rx.el.main(
        rx.el.div(
            mark("size-9"),
            rx.el.h1(
                rx.cond(PasswordState.one_time, "Choose your password", "Change your password"),
                class_name="mt-5 text-xl font-semibold leading-7 tracking-tight",
            ),
            rx.el.p(
                rx.cond(
                    PasswordState.one_time,
                    "You signed in with a one-time password. Choose a password of your own to continue.",
                    "Changing your password ends your other sessions.",
                ),
                class_name="mt-1 mb-6 text-sm text-soft",
            ),
            _form(),
            rx.cond(
                PasswordState.one_time,
                rx.el.button(
                    "Sign out",
                    type="button",
                    class_name=f"{classes.BUTTON_QUIET} mt-3 w-full",
                    custom_attrs={"data-action": "sign-out"},
                ),
                link("Cancel", "/settings/account", f"{classes.BUTTON_QUIET} mt-3 w-full"),
            ),
            class_name="w-full max-w-[22rem]",
        ),
        class_name="flex min-h-screen flex-col items-center bg-ground px-5 pb-16 pt-[14vh] text-ink",
    )


def _form() -> rx.Component:
    return rx.el.form(
        # Tells password managers which account this is.
        rx.el.input(
            type="email", name="email", auto_complete="username", value=PasswordState.email, read_only=True,
            class_name="hidden", custom_attrs={"aria-hidden": "true"}, tab_index=-1,
        ),
        field(
            "Current password", "change-password-current", "current", "password", "current-password",
            autofocus=True,
        ),
        field("New password", "change-password-new", "new", "password", "new-password"),
        rx.el.p("At least 12 characters. Several words work well.", class_name=f"{classes.CAPTION} -mt-2"),
        rx.el.p(id="change-password-problem", role="alert", class_name="text-sm text-bad empty:hidden"),
        rx.el.button(
            "Change password", type="submit", class_name=f"{classes.BUTTON_PRIMARY} mt-1 h-9 w-full"
        ),
        id="change-password",
        class_name="flex flex-col gap-4",
    )  # fmt: skip

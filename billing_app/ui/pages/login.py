"""The sign-in page. assets/js/session.js handles the form: only an HTTP response can set the cookie."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.login import LoginState
from billing_app.state.presenters.people import DemoAccount
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import field, icon
from billing_app.ui.kit.brand import mark


def login() -> rx.Component:
    """Create the page. In a demo, it has a sign-in button for each account."""
    return rx.el.main(
        rx.el.div(
            rx.el.div(
                mark("size-9"),
                rx.el.h1(
                    "Sign in to Tallybook",
                    class_name="mt-5 text-xl font-semibold leading-7 tracking-tight",
                ),
                rx.el.p(
                    id="sign-in-reason",
                    role="status",
                    class_name="mt-1 text-sm text-soft empty:hidden",
                    on_mount=rx.call_script("tallybook.showReason()"),
                ),
                class_name="mb-6",
            ),
            _form(),
            rx.cond(LoginState.demo_accounts.length() > 0, _demo()),
            class_name="w-full max-w-[22rem]",
        ),
        class_name="flex min-h-screen flex-col items-center bg-ground px-5 pb-16 pt-[14vh] text-ink",
    )


def _form() -> rx.Component:
    return rx.el.form(
        field("Email", "sign-in-email", "email", "email", "username", autofocus=True),
        field("Password", "sign-in-password", "password", "password", "current-password"),
        rx.el.p(id="sign-in-problem", role="alert", class_name="text-sm text-bad empty:hidden"),
        rx.el.button("Sign in", type="submit", class_name=f"{classes.BUTTON_PRIMARY} mt-1 h-9 w-full"),
        id="sign-in",
        class_name="flex flex-col gap-4",
    )


def _demo() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Demo accounts", class_name=classes.EYEBROW),
        rx.el.div(
            rx.foreach(LoginState.demo_accounts, _demo_account),
            class_name=f"mt-2 divide-y divide-line overflow-hidden {classes.PANEL}",
        ),
        class_name="mt-8",
    )


def _demo_account(account: rx.Var[DemoAccount]) -> rx.Component:
    return rx.el.button(
        rx.el.span(
            rx.el.span(account.label, class_name="block text-sm font-medium text-ink"),
            rx.el.span(account.access, class_name="block text-xs leading-4 text-faint"),
            class_name="min-w-0",
        ),
        icon("arrow-right", 16, "ml-auto shrink-0 text-faint"),
        type="button",
        class_name="flex w-full items-center gap-3 px-3 py-2.5 text-left transition-colors duration-100"
        " hover:bg-hover focus-visible:-outline-offset-2",
        custom_attrs={
            "data-action": "sign-in-as",
            "data-email": account.email,
            "data-password": account.password,
        },
    )

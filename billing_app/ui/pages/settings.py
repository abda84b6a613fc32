"""Settings: the company details that invoices show, with links to the account and to API tokens."""

from __future__ import annotations

import reflex as rx

from billing_app.state.kit.session import SessionState
from billing_app.state.pages.issuer import IssuerState
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import Text, by_phase, skeleton
from billing_app.ui.kit.dialogs import form_in_place
from billing_app.ui.kit.fields import DialogForm, text_area, text_field
from billing_app.ui.kit.filters import segments
from billing_app.ui.kit.layout import page

ISSUER, ACCOUNT, TOKENS = "Company details", "Your account", "API tokens"
_ALL_USERS = ((ISSUER, "/settings"), (ACCOUNT, "/settings/account"))
_ADMINS = (*_ALL_USERS, (TOKENS, "/settings/tokens"))
_NOT_GIVEN = "Not given"


def settings_page(here: str, *content: rx.Component) -> rx.Component:
    """Render a page of the settings, with links to the others."""

    def links(pages: tuple[tuple[str, str], ...]) -> rx.Component:
        return segments("Settings", *[(title, path, title == here) for title, path in pages])

    return page(
        "Settings",
        "Settings",
        rx.el.div(rx.cond(SessionState.may_administer, links(_ADMINS), links(_ALL_USERS)), class_name="mb-6"),
        *content,
    )


def part(title: str, explanation: Text, *content: rx.Component) -> rx.Component:
    """Render a part of the settings: its explanation and, next to it on wide screens, its content."""
    return rx.el.section(
        rx.el.div(
            rx.el.h2(title, class_name="text-sm font-semibold leading-5"),
            rx.el.p(explanation, class_name="mt-1 max-w-md text-pretty text-sm text-soft"),
        ),
        rx.el.div(*content, class_name="min-w-0"),
        class_name="grid max-w-[60.5rem] grid-cols-1 gap-x-10 gap-y-4 border-line lg:grid-cols-[16rem_minmax(0,42rem)]"
        " [&+section]:mt-8 [&+section]:border-t [&+section]:pt-8",
    )


def facts(*pairs: tuple[str, Text]) -> rx.Component:
    """Render names and values that can only be read here."""
    return rx.el.dl(
        *[
            rx.el.div(
                rx.el.dt(name, class_name="text-sm text-faint"),
                rx.el.dd(
                    rx.cond(
                        rx.Var.create(value) != "", value, rx.el.span(_NOT_GIVEN, class_name="text-faint")
                    ),
                    class_name="min-w-0 whitespace-pre-line text-sm text-ink [overflow-wrap:anywhere]",
                ),
                class_name="grid grid-cols-1 gap-x-4 gap-y-0.5 px-5 py-3 sm:grid-cols-[10rem_minmax(0,1fr)]",
            )
            for name, value in pairs
        ],
        class_name=f"{classes.PANEL} divide-y divide-line",
    )


def settings() -> rx.Component:
    """Render the company details: a form for admins, plain text for other users."""
    issuer = IssuerState.issuer
    return settings_page(
        ISSUER,
        part(
            "Company details",
            "Shown on every new invoice. Existing invoices keep the details they were issued with.",
            by_phase(
                IssuerState.phase,
                IssuerState.problem,
                loading=_skeleton(),
                missing=rx.fragment(),
                ready=rx.cond(
                    SessionState.may_administer,
                    _form(),
                    facts(
                        ("Name", issuer.name),
                        ("Email", issuer.email),
                        ("Address", issuer.address),
                        ("Payment instructions", issuer.payment_instructions),
                    ),
                ),
            ),
        ),
    )


def _form() -> rx.Component:
    form = DialogForm("issuer", IssuerState.form)
    return form_in_place(
        form,
        IssuerState.save,
        rx.cond(
            ~IssuerState.issuer.is_complete,
            rx.el.p(
                "Add your company’s name and address before you generate the first invoice.",
                class_name="rounded-md bg-warn-soft px-3 py-2 text-sm text-warn",
            ),
        ),
        text_field(form, "name", "Name", placeholder="Example Ltd", max_length=200),
        text_field(
            form, "email", "Email", kind="email", placeholder="billing@example.com", max_length=254,
            help_text="Where customers can ask about an invoice",
        ),
        text_area(form, "address", "Address", rows=4, max_length=1000),
        text_area(
            form, "payment_instructions", "Payment instructions", rows=4, max_length=1000,
            help_text="Shown below the total, for example your bank account and the reference to give",
        ),
        submit="Save company details",
    )  # fmt: skip


def _skeleton() -> rx.Component:
    line = rx.el.div(skeleton("h-3.5 w-24"), skeleton("mt-2 h-9 w-full"))
    return rx.el.div(*[line for _ in range(4)], class_name=f"{classes.PANEL} flex flex-col gap-5 px-5 py-5")

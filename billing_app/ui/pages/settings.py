"""The settings: the issuer that invoices carry, and the way to one's own account and to API tokens."""

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

ISSUER, ACCOUNT, TOKENS = "Issuer", "Your account", "API tokens"
_EVERYBODYS = ((ISSUER, "/settings"), (ACCOUNT, "/settings/account"))
_ADMINS = (*_EVERYBODYS, (TOKENS, "/settings/tokens"))
_NOT_GIVEN = "Not given"


def settings_page(here: str, *content: rx.Component) -> rx.Component:
    """A page of the settings, with the ways to the others."""

    def ways(pages: tuple[tuple[str, str], ...]) -> rx.Component:
        return segments("Settings", *[(title, path, title == here) for title, path in pages])

    return page(
        "Settings",
        "Settings",
        rx.el.div(rx.cond(SessionState.may_administer, ways(_ADMINS), ways(_EVERYBODYS)), class_name="mb-6"),
        *content,
    )


def part(title: str, explanation: Text, *content: rx.Component) -> rx.Component:
    """A part of the settings: what it is about, and beside it, where there is room, what it holds."""
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
    """What is only read here: names and their values."""
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
    """The issuer: a form for admins, to be read by everybody else."""
    issuer = IssuerState.issuer
    return settings_page(
        ISSUER,
        part(
            "Issuer",
            "Who bills. Every invoice carries a copy of it; invoices that exist keep what they say.",
            by_phase(
                IssuerState.phase,
                IssuerState.problem,
                loading=_bones(),
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
    at = DialogForm("issuer", IssuerState.form)
    return form_in_place(
        at,
        IssuerState.save,
        rx.cond(
            IssuerState.issuer.name == "",
            rx.el.p(
                "Nothing is filled in yet: invoices made now name nobody who bills.",
                class_name="rounded-md bg-warn-soft px-3 py-2 text-sm text-warn",
            ),
        ),
        text_field(at, "name", "Name", placeholder="Example Ltd", max_length=200),
        text_field(
            at, "email", "Email", kind="email", placeholder="billing@example.com", max_length=254,
            help_text="Where customers ask about an invoice",
        ),
        text_area(at, "address", "Address", rows=4, max_length=1000),
        text_area(
            at, "payment_instructions", "Payment instructions", rows=4, max_length=1000,
            help_text="Stands below the total: the bank account, and what to name as reference",
        ),
        submit="Save issuer",
    )  # fmt: skip


def _bones() -> rx.Component:
    line = rx.el.div(skeleton("h-3.5 w-24"), skeleton("mt-2 h-9 w-full"))
    return rx.el.div(*[line for _ in range(4)], class_name=f"{classes.PANEL} flex flex-col gap-5 px-5 py-5")

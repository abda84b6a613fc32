"""The people who may sign in, what they may do, and how they get in. An admin's to see and to change."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.state.kit.errors import FORBIDDEN
from billing_app.state.kit.session import ROLE_LABELS
from billing_app.state.pages.users import DISABLE, EDIT, ENABLE, END, INVITE, RESET, SECRET, UsersState
from billing_app.state.presenters.people import PersonItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import by_phase, link, notice, user_badge
from billing_app.ui.kit.buttons import admins_only, button
from billing_app.ui.kit.dialogs import confirm_dialog, form_dialog, secret_dialog
from billing_app.ui.kit.fields import DialogForm, select_field, text_field
from billing_app.ui.kit.filters import filters, search_filter, select_filter
from billing_app.ui.kit.layout import page
from billing_app.ui.kit.menus import menu, menu_item, menu_link
from billing_app.ui.kit.tables import column, page_links, sort_column, table, table_skeleton

_ROLES = [(str(role), label) for role, label in ROLE_LABELS.items()]
_ROLES_HELP = "Admin: everything. Billing: customers, plans, usage and invoices. Finance: reads everything, changes nothing."


def users() -> rx.Component:
    """A page of people, and the dialogs that open from it."""
    return page(
        "Users",
        "Users",
        rx.cond(UsersState.phase != FORBIDDEN, _above()),
        by_phase(
            UsersState.phase,
            UsersState.problem,
            loading=table_skeleton(4),
            missing=rx.fragment(),
            ready=rx.cond(UsersState.rows.length() > 0, _table(), _nobody()),
        ),
        *_form_dialogs(),
        *_confirm_dialogs(),
        secret_dialog(
            SECRET,
            rx.fragment("A one-time password for ", UsersState.whose),
            "One-time password",
            rx.fragment(
                "Hand it over yourself, with the address of these pages. ", UsersState.whose, " signs in as ",
                rx.el.span(UsersState.whose_email, class_name="font-medium text-ink"),
                " and chooses a password before anything else.",
            ),
        ),
    )  # fmt: skip


def _above() -> rx.Component:
    return rx.el.div(
        filters(
            search_filter("Search users", "Search by name or email"),
            select_filter("Role", "role", _ROLES, everything="All roles"),
            select_filter(
                "Status", "status", [("active", "Active"), ("disabled", "Disabled")],
                everything="All statuses",
            ),
        ),
        admins_only(
            rx.el.div(
                button("Invite somebody", "user-plus", look="primary", on_click=UsersState.open_invite),
                class_name="mb-4 shrink-0",
            )
        ),
        class_name="flex justify-between gap-x-2 max-sm:flex-col-reverse",
    )  # fmt: skip


def _table() -> rx.Component:
    heads: Any = UsersState.heads
    return rx.fragment(
        table(
            "Users",
            [
                sort_column("Name", heads["name"]),
                column("Email", wide_only=True),
                sort_column("Role", heads["role"], wide_only=True),
                column("Status", wide_only=True),
                sort_column("Last sign-in", heads["signed_in"], wide_only=True),
                rx.el.th(
                    rx.el.span("Actions", class_name=classes.SCREEN_READER),
                    scope="col",
                    class_name=classes.TH,
                ),
            ],
            rx.foreach(UsersState.rows, _row),
        ),
        page_links(UsersState.pages),
    )


def _row(person: rx.Var[PersonItem]) -> rx.Component:
    wide = f"{classes.TD} {classes.WIDE_ONLY}"
    return rx.el.tr(
        rx.el.td(
            rx.el.div(
                rx.el.span(person.name, title=person.name, class_name="truncate"),
                rx.cond(person.is_self, rx.el.span("You", class_name=classes.BADGE_QUIET)),
                class_name="flex max-w-56 items-center gap-2 max-md:mb-0.5",
            ),
            rx.el.div(
                rx.el.div(person.email, class_name="max-w-56 truncate"),
                rx.el.div(
                    person.role,
                    rx.match(
                        person.status,
                        ("disabled", " · Disabled"),
                        ("invited", " · One-time password"),
                        "",
                    ),
                ),
                class_name="text-xs font-normal leading-4 text-faint md:hidden",
            ),
            class_name=f"{classes.TD_MAIN} max-md:py-2",
        ),
        rx.el.td(rx.el.div(person.email, class_name="max-w-64 truncate"), class_name=wide),
        rx.el.td(person.role, class_name=wide),
        rx.el.td(user_badge(person.status), class_name=wide),
        rx.el.td(rx.el.span(person.signed_in, title=person.signed_in_utc), class_name=f"{wide} tabular-nums"),
        rx.el.td(admins_only(_menu(person)), class_name=f"{classes.TD} text-right"),
        class_name=classes.TR,
    )


def _menu(person: rx.Var[PersonItem]) -> rx.Component:
    return menu(
        f"user-menu-{person.user_id}",
        f"Actions for {person.name}",
        menu_item("Change name or role", "pencil", on_click=UsersState.open_edit(person.user_id)),
        rx.cond(
            person.is_self,
            menu_link("Your account", "/settings/account", "circle-user-round"),
            rx.fragment(
                menu_item(
                    "New one-time password", "key-round", on_click=UsersState.open_reset(person.user_id)
                ),
                rx.cond(
                    ~person.is_disabled,
                    menu_item("End sessions", "log-out", on_click=UsersState.open_end(person.user_id)),
                ),
            ),
        ),
        rx.cond(
            person.is_disabled,
            menu_item("Enable", "user-check", on_click=UsersState.open_enable(person.user_id)),
            menu_item("Disable", "user-x", danger=True, on_click=UsersState.open_disable(person.user_id)),
        ),
    )


def _form_dialogs() -> list[rx.Component]:
    new, known = DialogForm(INVITE, UsersState.form), DialogForm(EDIT, UsersState.form)
    return [
        form_dialog(
            new,
            UsersState.invite,
            text_field(new, "email", "Email", kind="email", placeholder="ada@example.com", max_length=254),
            text_field(new, "name", "Name", placeholder="Ada Lovelace", max_length=200),
            select_field(new, "role", "Role", _ROLES, help_text=_ROLES_HELP),
            submit="Invite",
            explanation="They get a one-time password from you, and choose their own when they first sign in.",
        ),
        form_dialog(
            known,
            UsersState.save,
            text_field(known, "name", "Name", max_length=200),
            select_field(known, "role", "Role", _ROLES, help_text=_ROLES_HELP),
        ),
    ]


def _confirm_dialogs() -> list[rx.Component]:
    form = UsersState.form
    return [
        confirm_dialog(
            DialogForm(DISABLE, form),
            UsersState.set_status,
            "All sessions end at once, and nobody signs in with this account until it is enabled again."
            " What was done with it stays in the audit log.",
            submit="Disable",
        ),
        confirm_dialog(
            DialogForm(ENABLE, form),
            UsersState.set_status,
            "The account works again, with the password and the role that it had.",
            submit="Enable",
            danger=False,
        ),
        confirm_dialog(
            DialogForm(END, form),
            UsersState.end,
            "Every browser and script that signed in with this account has to sign in again.",
            submit="End sessions",
        ),
        confirm_dialog(
            DialogForm(RESET, form),
            UsersState.reset_password,
            "The password of today is no longer good, and all sessions end. You see the new one once, to"
            " hand it over.",
            submit="Make password",
        ),
    ]


def _nobody() -> rx.Component:
    return rx.el.div(
        notice(
            "search-x",
            "Nobody matches",
            "Nobody is found by what is searched for and chosen above.",
            link("Show everybody", "/users", classes.BUTTON),
        ),
        class_name=classes.PANEL,
    )

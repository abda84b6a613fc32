"""The page of users, which only admins can open."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.state.kit.errors import FORBIDDEN
from billing_app.state.kit.session import ROLE_LABELS
from billing_app.state.pages.users import (
    DISABLE,
    EDIT,
    ENABLE,
    END,
    INVITE,
    RESET,
    SECRET,
    UNLOCK,
    UsersState,
)
from billing_app.state.presenters.people import UserItem
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
_ROLES_HELP = "Admin: full access. Billing: customers, plans, usage and invoices. Finance: view everything, change nothing."


def users() -> rx.Component:
    """Create the page: filters, the list of users, and the dialogs."""
    return page(
        "Users",
        "Users",
        rx.cond(UsersState.phase != FORBIDDEN, _above()),
        by_phase(
            UsersState.phase,
            UsersState.problem,
            loading=table_skeleton(4),
            missing=rx.fragment(),
            ready=rx.cond(UsersState.rows.length() > 0, _table(), _no_matches()),
        ),
        *_form_dialogs(),
        *_confirm_dialogs(),
        secret_dialog(
            SECRET,
            rx.fragment("One-time password for ", UsersState.secret_name),
            "One-time password",
            rx.fragment(
                "Give it to them together with the address of this site. ", UsersState.secret_name, " signs in as ",
                rx.el.span(UsersState.secret_email, class_name="font-medium text-ink"),
                " and is asked to choose a new password.",
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
                everything="Any status",
            ),
        ),
        admins_only(
            rx.el.div(
                button("Invite user", "user-plus", look="primary", on_click=UsersState.open_invite),
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


def _row(user: rx.Var[UserItem]) -> rx.Component:
    wide = f"{classes.TD} {classes.WIDE_ONLY}"
    return rx.el.tr(
        rx.el.td(
            rx.el.div(
                rx.el.span(user.name, title=user.name, class_name="truncate"),
                rx.cond(user.is_self, rx.el.span("You", class_name=classes.BADGE_QUIET)),
                class_name="flex max-w-56 items-center gap-2 max-md:mb-0.5",
            ),
            rx.el.div(
                rx.el.div(user.email, class_name="max-w-56 truncate"),
                rx.el.div(
                    user.role,
                    rx.match(
                        user.status,
                        ("disabled", " · Disabled"),
                        ("invited", " · One-time password"),
                        "",
                    ),
                ),
                rx.cond(user.locked_until != "", rx.el.div("Locked until ", user.locked_until)),
                class_name="text-xs font-normal leading-4 text-faint md:hidden",
            ),
            class_name=f"{classes.TD_MAIN} max-md:py-2",
        ),
        rx.el.td(rx.el.div(user.email, class_name="max-w-64 truncate"), class_name=wide),
        rx.el.td(user.role, class_name=wide),
        rx.el.td(
            rx.el.div(
                user_badge(user.status),
                rx.cond(user.locked_until != "", _lock(user)),
                class_name="flex gap-1",
            ),
            class_name=wide,
        ),
        rx.el.td(rx.el.span(user.signed_in, title=user.signed_in_utc), class_name=f"{wide} tabular-nums"),
        rx.el.td(admins_only(_menu(user)), class_name=f"{classes.TD} text-right"),
        class_name=classes.TR,
    )


def _lock(user: rx.Var[UserItem]) -> rx.Component:
    return rx.el.span(
        "Locked",
        title=f"Too many failed sign-ins. Sign-in from some locations is locked until {user.locked_until}",
        class_name=classes.BADGE_WARN,
    )


def _menu(user: rx.Var[UserItem]) -> rx.Component:
    return menu(
        f"user-menu-{user.user_id}",
        f"Actions for {user.name}",
        menu_item("Edit user", "pencil", on_click=UsersState.open_edit(user.user_id)),
        rx.cond(
            user.is_self,
            menu_link("Your account", "/settings/account", "circle-user-round"),
            rx.fragment(
                menu_item(
                    "Create one-time password", "key-round", on_click=UsersState.open_reset(user.user_id)
                ),
                rx.cond(
                    ~user.is_disabled,
                    menu_item("End all sessions", "log-out", on_click=UsersState.open_end(user.user_id)),
                ),
            ),
        ),
        rx.cond(
            user.locked_until != "",
            menu_item("Unlock user", "lock-open", on_click=UsersState.open_unlock(user.user_id)),
        ),
        rx.cond(
            user.is_disabled,
            menu_item("Enable user", "user-check", on_click=UsersState.open_enable(user.user_id)),
            menu_item("Disable user", "user-x", danger=True, on_click=UsersState.open_disable(user.user_id)),
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
            submit="Invite user",
            explanation="You get a one-time password to give to them. They choose their own when they first"
            " sign in.",
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
            "The user is signed out at once and can't sign in until you enable them again. Their audit"
            " log entries are kept.",
            submit="Disable user",
        ),
        confirm_dialog(
            DialogForm(ENABLE, form),
            UsersState.set_status,
            "The user can sign in again, with the same password and role as before.",
            submit="Enable user",
            danger=False,
        ),
        confirm_dialog(
            DialogForm(END, form),
            UsersState.end,
            "The user is signed out of every browser and script, and has to sign in again.",
            submit="End all sessions",
        ),
        confirm_dialog(
            DialogForm(UNLOCK, form),
            UsersState.unlock,
            "Too many wrong passwords were entered for this user. Unlocking lets them sign in from anywhere"
            " again and clears the failed attempts.",
            submit="Unlock user",
            danger=False,
        ),
        confirm_dialog(
            DialogForm(RESET, form),
            UsersState.reset_password,
            "The current password stops working and all sessions end. The one-time password is shown once,"
            " so that you can give it to the user.",
            submit="Create one-time password",
        ),
    ]


def _no_matches() -> rx.Component:
    return rx.el.div(
        notice(
            "search-x",
            "No matching users",
            "No users match your search and filters.",
            link("Clear filters", "/users", classes.BUTTON),
        ),
        class_name=classes.PANEL,
    )

"""The page of API tokens, which only admins can open."""

from __future__ import annotations

import reflex as rx

from billing_app.state.pages.tokens import ACCESS, CREATED, NEW, REVOKE, TokensState
from billing_app.state.presenters.settings import TokenItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import by_phase, notice
from billing_app.ui.kit.buttons import admins_only, button
from billing_app.ui.kit.dialogs import confirm_dialog, form_dialog, secret_dialog
from billing_app.ui.kit.fields import DialogForm, select_field, text_field
from billing_app.ui.kit.tables import column, page_links, table, table_skeleton
from billing_app.ui.pages.settings import TOKENS, settings_page


def tokens() -> rx.Component:
    """Create the page: the list of tokens, and the dialogs."""
    return settings_page(
        TOKENS,
        rx.el.div(
            rx.el.p(
                "Programs send an API token as ", rx.el.code("Authorization: Bearer"), " to record usage or to"
                " read data. A token is valid until you revoke it.",
                class_name="max-w-2xl text-pretty text-sm text-soft [&_code]:font-mono [&_code]:text-[13px]",
            ),
            admins_only(_new_button("primary")),
            class_name="mb-4 flex items-start justify-between gap-x-6 gap-y-3 max-sm:flex-col",
        ),
        by_phase(
            TokensState.phase,
            TokensState.problem,
            loading=table_skeleton(3),
            missing=rx.fragment(),
            ready=rx.cond(TokensState.rows.length() > 0, _table(), _empty()),
        ),
        _new_dialog(),
        secret_dialog(
            CREATED,
            rx.fragment("API token ", TokensState.created_name),
            "Token",
            "Anyone with this token can use its permissions. Store it like a password.",
        ),
        confirm_dialog(
            DialogForm(REVOKE, TokensState.form),
            TokensState.revoke,
            "Programs that use this token lose access at once. This can’t be undone.",
            submit="Revoke token",
        ),
    )  # fmt: skip


def _new_button(look: str) -> rx.Component:
    return button("New token", "plus", look=look, on_click=TokensState.open_new)


def _table() -> rx.Component:
    return rx.fragment(
        table(
            "API tokens",
            [
                column("Token"),
                column("Access", wide_only=True),
                column("Created by", wide_only=True),
                column("Created", wide_only=True),
                column("Last used", wide_only=True),
                rx.el.th(
                    rx.el.span("Actions", class_name=classes.SCREEN_READER),
                    scope="col",
                    class_name=classes.TH,
                ),
            ],
            rx.foreach(TokensState.rows, _row),
        ),
        page_links(TokensState.pages),
    )


def _row(token: rx.Var[TokenItem]) -> rx.Component:
    wide = f"{classes.TD} {classes.WIDE_ONLY}"
    return rx.el.tr(
        rx.el.td(
            rx.el.div(
                rx.el.span(token.name, title=token.name, class_name="truncate"),
                class_name="flex max-w-48 items-center gap-2 sm:max-w-60",
            ),
            rx.el.div(token.access, class_name=classes.NARROW_CAPTION),
            rx.el.div("Last used: ", token.last_used, class_name=f"{classes.NARROW_CAPTION} tabular-nums"),
            class_name=classes.TD_MAIN,
        ),
        rx.el.td(token.access, class_name=wide),
        rx.el.td(rx.el.div(token.created_by, class_name="max-w-40 truncate"), class_name=wide),
        rx.el.td(rx.el.span(token.created, title=token.created_utc), class_name=f"{wide} tabular-nums"),
        rx.el.td(rx.el.span(token.last_used, title=token.last_used_utc), class_name=f"{wide} tabular-nums"),
        rx.el.td(
            rx.cond(
                token.is_revoked,
                rx.el.span("Revoked", title=token.revoked, class_name=classes.BADGE_HOLD),
                admins_only(
                    rx.el.button(
                        "Revoke",
                        rx.el.span(f" {token.name}", class_name=classes.SCREEN_READER),
                        type="button",
                        on_click=TokensState.open_revoke(token.token_id),
                        class_name=classes.BUTTON_QUIET,
                    )
                ),
            ),
            class_name=f"{classes.TD} text-right",
        ),
        class_name=classes.TR,
    )


def _new_dialog() -> rx.Component:
    dialog = DialogForm(NEW, TokensState.form)
    return form_dialog(
        dialog,
        TokensState.create,
        text_field(
            dialog,
            "name",
            "Name",
            placeholder="Usage reporter",
            max_length=200,
            help_text="The program that uses this token.",
        ),
        select_field(
            dialog, "scopes", "Access", list(ACCESS.items()), help_text="Choose only what the program needs."
        ),
        submit="Create token",
    )


def _empty() -> rx.Component:
    return rx.el.div(
        notice(
            "key-round",
            "No API tokens yet",
            "Create a token so that a program can record usage or read data.",
            admins_only(_new_button("plain")),
        ),
        class_name=classes.PANEL,
    )

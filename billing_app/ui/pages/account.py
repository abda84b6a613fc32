"""The account page: the viewer's details, password and sessions."""

from __future__ import annotations

import reflex as rx

from billing_app.state.kit.session import SessionState
from billing_app.state.pages.account import END, END_OTHERS, PASSWORD_HREF, AccountState
from billing_app.state.presenters.settings import SessionItem
from billing_app.ui.kit import classes
from billing_app.ui.kit.basics import by_phase, link
from billing_app.ui.kit.buttons import button
from billing_app.ui.kit.dialogs import confirm_dialog
from billing_app.ui.kit.fields import DialogForm
from billing_app.ui.kit.tables import column, page_links, table, table_skeleton
from billing_app.ui.pages.settings import ACCOUNT, facts, part, settings_page


def account() -> rx.Component:
    """Create the page."""
    return settings_page(
        ACCOUNT,
        part(
            "Profile",
            "An admin can change your name and role.",
            facts(("Name", SessionState.name), ("Email", SessionState.email), ("Role", SessionState.role)),
        ),
        part(
            "Password",
            "Changing it ends your other sessions.",
            link("Change password", PASSWORD_HREF, classes.BUTTON),
        ),
        part(
            "Sessions",
            "Where you are signed in. Sessions expire after 12 hours.",
            by_phase(
                AccountState.phase,
                AccountState.problem,
                loading=table_skeleton(2),
                missing=rx.fragment(),
                ready=_sessions(),
            ),
        ),
        confirm_dialog(
            DialogForm(END, AccountState.form),
            AccountState.end,
            "The browser or script that uses it has to sign in again.",
            submit="End session",
        ),
        confirm_dialog(
            DialogForm(END_OTHERS, AccountState.form),
            AccountState.end_others,
            "You stay signed in here. Every other browser, and scripts that signed in with your password, have"
            " to sign in again.",
            submit="End other sessions",
        ),
    )


def _sessions() -> rx.Component:
    return rx.fragment(
        table(
            "Sessions",
            [
                column("Signed in with"),
                column("From", wide_only=True),
                column("Since", wide_only=True),
                rx.el.th(
                    rx.el.span("Actions", class_name=classes.SCREEN_READER),
                    scope="col",
                    class_name=classes.TH,
                ),
            ],
            rx.foreach(AccountState.sessions, _session),
        ),
        page_links(AccountState.pages),
        rx.cond(
            AccountState.has_others,
            rx.el.div(
                button("End other sessions", "log-out", on_click=AccountState.open_end_others),
                class_name="mt-3 flex justify-end",
            ),
        ),
    )


def _session(session: rx.Var[SessionItem]) -> rx.Component:
    since = rx.el.span(session.since, title=session.since_utc)
    return rx.el.tr(
        rx.el.td(
            rx.el.div(
                rx.el.span(session.program, title=session.user_agent, class_name="truncate"),
                rx.cond(session.is_current, rx.el.span("Current", class_name=classes.BADGE_GOOD)),
                class_name="flex max-w-60 items-center gap-2",
            ),
            rx.el.div(session.address, " · ", since, class_name=f"{classes.NARROW_CAPTION} max-w-56"),
            class_name=classes.TD_MAIN,
        ),
        rx.el.td(
            rx.el.div(session.address, class_name="max-w-40 truncate tabular-nums"),
            class_name=f"{classes.TD} {classes.WIDE_ONLY}",
        ),
        rx.el.td(since, class_name=f"{classes.TD} {classes.WIDE_ONLY} tabular-nums"),
        rx.el.td(
            rx.cond(
                session.is_current,
                rx.fragment(),
                rx.el.button(
                    "End",
                    rx.el.span(f" the session with {session.program}", class_name=classes.SCREEN_READER),
                    type="button",
                    on_click=AccountState.open_end(session.session_id),
                    class_name=classes.BUTTON_QUIET,
                ),
            ),
            class_name=f"{classes.TD} text-right",
        ),
        class_name=classes.TR,
    )

"""The account page: the signed-in user's details, password and sessions."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.runtime import current
from billing_app.services.identity import sessions
from billing_app.services.identity.rows import SessionRow
from billing_app.state.kit import address, text
from billing_app.state.kit.browser import run_in_browser
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import Form, open_dialog, read_text, submitting
from billing_app.state.kit.lists import Pages, parse_listing
from billing_app.state.kit.programs import describe_program
from billing_app.state.kit.session import as_user, authenticated, call, viewer_zone
from billing_app.state.presenters.settings import SessionItem

ROWS = 25
PATH = "/settings/account"
# The page that changes the password and then returns here.
PASSWORD_HREF = address.link("/password", next=address.link(PATH, changed="password"))
END, END_OTHERS = "end-session", "end-other-sessions"


class AccountState(rx.State):
    """One page of the viewer's sessions."""

    phase: str = LOADING
    problem: str = ""
    sessions: rx.Field[list[SessionItem]] = rx.field(default_factory=list)
    has_others: bool = False
    pages: Pages = Pages()
    form: Form = Form()

    @rx.event
    async def load(self) -> Any:
        """Load the sessions. Show a toast after a password change."""
        listing = parse_listing(self, PATH)
        async with loading(self):
            viewer = await authenticated(self)
            page = await call(
                self, sessions.list_sessions, user_id=viewer.user.user_id, limit=ROWS, cursor=listing.cursor
            )
            zone = viewer_zone(self)
            self.sessions = [_item(row, viewer.session_id, zone) for row in page.items]
            self.pages = listing.pages(page.next_cursor)
            self.has_others = bool(self.pages.previous_href) or len(page.items) > 1
        if address.query_parameter(self, "changed") == "password":
            message = rx.toast.success("Password changed. Your other sessions ended.")
            return [message, run_in_browser("replaceAddress", PATH)]
        return None

    @rx.event
    async def open_end(self, session_id: str) -> Any:
        """Ask for confirmation to end a session."""
        return open_dialog(self, END, "End this session?", hidden={"session": session_id})

    @rx.event
    async def end(self, form: dict[str, Any]) -> Any:
        """End one of the viewer's sessions."""
        async with submitting(self, form) as submission:
            await as_user(self, current().authenticator.end_session, read_text(form, "session"))
            submission.succeed("Session ended", AccountState.load)
        return submission.events

    @rx.event
    async def open_end_others(self) -> Any:
        """Ask for confirmation to end all other sessions."""
        viewer = await authenticated(self)
        return open_dialog(self, END_OTHERS, "End all other sessions?", hidden={"keep": viewer.session_id})

    @rx.event
    async def end_others(self, form: dict[str, Any]) -> Any:
        """End all of the viewer's sessions except the current one."""
        async with submitting(self, form) as submission:
            await as_user(self, current().authenticator.end_other_sessions, read_text(form, "keep"))
            submission.succeed("All other sessions ended", AccountState.load)
        return submission.events


def _item(row: SessionRow, current_id: str, zone: ZoneInfo) -> SessionItem:
    return SessionItem(
        session_id=row.session_id,
        program=describe_program(row.user_agent),
        user_agent=row.user_agent,
        address=row.address,
        since=text.timestamp(row.created_at, zone),
        since_utc=text.timestamp_utc(row.created_at),
        is_current=row.session_id == current_id,
    )

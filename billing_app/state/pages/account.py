"""One's own account: the way to another password, and the sessions that are signed in with it."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.runtime import current
from billing_app.services.identity import sessions
from billing_app.services.identity.rows import SessionRow
from billing_app.state.kit import address, text
from billing_app.state.kit.browser import run_in_browser
from billing_app.state.kit.devices import device
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import Form, open_dialog, read_text, submitting
from billing_app.state.kit.lists import Pages, parse_listing
from billing_app.state.kit.session import as_person, authenticated, call, viewer_zone
from billing_app.state.presenters.settings import SessionItem

ROWS = 25
PATH = "/settings/account"
# Where somebody comes back to with a new password.
PASSWORD_HREF = address.link("/password", next=address.link(PATH, changed="password"))
END, END_OTHERS = "end-session", "end-other-sessions"


class AccountState(rx.State):
    """A page of the sessions of whoever looks at it."""

    phase: str = LOADING
    problem: str = ""
    sessions: rx.Field[list[SessionItem]] = rx.field(default_factory=list)
    has_others: bool = False
    pages: Pages = Pages()
    form: Form = Form()

    @rx.event
    async def load(self) -> Any:
        """Show the sessions that are still good; says so when the password was just changed."""
        listing = parse_listing(self, PATH)
        async with loading(self):
            who = await authenticated(self)
            page = await call(
                self, sessions.list_sessions, user_id=who.user.user_id, limit=ROWS, cursor=listing.cursor
            )
            zone = viewer_zone(self)
            self.sessions = [_session(row, who.session_id, zone) for row in page.items]
            self.pages = listing.pages(page.next_cursor)
            self.has_others = bool(self.pages.previous_href) or len(page.items) > 1
        if address.query_parameter(self, "changed") == "password":
            said = rx.toast.success("Your password is changed, and your other sessions are signed out")
            return [said, run_in_browser("replaceAddress", PATH)]
        return None

    @rx.event
    async def open_end(self, session_id: str) -> Any:
        """Ask before a session is ended."""
        return open_dialog(self, END, "End this session?", hidden={"session": session_id})

    @rx.event
    async def end(self, form: dict[str, Any]) -> Any:
        """End one of one's own sessions."""
        async with submitting(self, form) as submission:
            await as_person(self, current().authenticator.end_session, read_text(form, "session"))
            submission.succeed("The session is ended", AccountState.load)
        return submission.events

    @rx.event
    async def open_end_others(self) -> Any:
        """Ask before all others are ended."""
        who = await authenticated(self)
        return open_dialog(self, END_OTHERS, "End all other sessions?", hidden={"keep": who.session_id})

    @rx.event
    async def end_others(self, form: dict[str, Any]) -> Any:
        """End all of one's own sessions but the one that asks."""
        async with submitting(self, form) as submission:
            await as_person(self, current().authenticator.end_other_sessions, read_text(form, "keep"))
            submission.succeed("All other sessions are ended", AccountState.load)
        return submission.events


def _session(row: SessionRow, this: str, zone: ZoneInfo) -> SessionItem:
    return SessionItem(
        session_id=row.session_id,
        device=device(row.user_agent),
        user_agent=row.user_agent,
        address=row.address,
        since=text.timestamp(row.created_at, zone),
        since_utc=text.timestamp_utc(row.created_at),
        is_this=row.session_id == this,
    )

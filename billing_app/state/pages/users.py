"""The people who may sign in."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.services.identity import users
from billing_app.services.identity.rows import NewUser, UserRow, UserStatus
from billing_app.state.kit import text
from billing_app.state.kit.browser import run_in_browser
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import Form, Submission, open_dialog, read_number, read_text, submitting
from billing_app.state.kit.lists import Pages, Sorting, parse_listing
from billing_app.state.kit.session import ROLE_LABELS, SessionState, authenticated, call, viewer_zone
from billing_app.state.presenters.people import PersonItem

ROWS = 25
INVITE, EDIT, SECRET = "invite-user", "edit-user", "one-time-password"
DISABLE, ENABLE, RESET, END = "disable-user", "enable-user", "reset-password", "end-sessions"


class UsersState(rx.State):
    """A page of people, found by name or email, by role and by status."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[PersonItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    heads: rx.Field[dict[str, Sorting]] = rx.field(default_factory=dict)
    form: Form = Form()
    # Whose one-time password is on the screen; the password itself is in no state.
    whose: str = ""
    whose_email: str = ""

    @rx.event
    async def load(self) -> None:
        """Show the page that the address names."""
        listing = parse_listing(self, "/users", "search", "role", "status", "sort")
        async with loading(self):
            who = await authenticated(self)
            page = await call(
                self,
                users.list_users,
                search=listing.get("search"),
                role=listing.get("role"),
                status=listing.get("status"),
                sort=listing.get("sort") or "name",
                limit=ROWS,
                cursor=listing.cursor,
            )
            zone = viewer_zone(self)
            self.rows = [_person(user, who.user.user_id, zone) for user in page.items]
            self.pages = listing.pages(page.next_cursor)
            self.heads = listing.sorting(
                ("name", "role", "signed_in"), default="name", largest_first=("signed_in",)
            )

    @rx.event
    async def open_invite(self) -> Any:
        """Open the dialog for somebody new."""
        return open_dialog(
            self, INVITE, "Invite somebody", start={"email": "", "name": "", "role": "billing"}
        )

    @rx.event
    async def invite(self, form: dict[str, Any]) -> Any:
        """Make a user; the one-time password goes to the screen and is kept nowhere."""
        async with submitting(self, form) as submission:
            made = await call(
                self,
                users.create_user,
                email=read_text(form, "email"),
                name=read_text(form, "name"),
                role=read_text(form, "role"),
            )
            self._hand_over(submission, made, f"{made.user.name} is invited")
        return submission.events

    @rx.event
    async def open_edit(self, user_id: int) -> Any:
        """Open the dialog for somebody's name and role."""
        user = await call(self, users.get_user, user_id)
        start = {"name": user.name, "role": user.role.value}
        hidden = {"user": user.user_id, "version": user.version}
        return open_dialog(self, EDIT, f"Edit {user.name}", start=start, hidden=hidden)

    @rx.event
    async def save(self, form: dict[str, Any]) -> Any:
        """Save somebody's name and role, which counts at their next click."""
        async with submitting(self, form) as submission:
            user = await call(
                self,
                users.update_user,
                read_number(form, "user"),
                name=read_text(form, "name"),
                role=read_text(form, "role"),
                version=read_number(form, "version"),
            )
            # It may have been one's own role.
            submission.succeed(f"{user.name} is saved", SessionState.enter, UsersState.load)
        return submission.events

    @rx.event
    async def open_disable(self, user_id: int) -> Any:
        """Ask before somebody is kept out."""
        user = await call(self, users.get_user, user_id)
        return open_dialog(self, DISABLE, f"Disable {user.name}?", hidden=_status(user, UserStatus.DISABLED))

    @rx.event
    async def open_enable(self, user_id: int) -> Any:
        """Ask before somebody is let in again."""
        user = await call(self, users.get_user, user_id)
        return open_dialog(self, ENABLE, f"Enable {user.name}?", hidden=_status(user, UserStatus.ACTIVE))

    @rx.event
    async def set_status(self, form: dict[str, Any]) -> Any:
        """Keep somebody out, or let them in again."""
        async with submitting(self, form) as submission:
            user = await call(
                self, users.update_user, read_number(form, "user"), status=read_text(form, "status")
            )
            now = "enabled" if user.status == UserStatus.ACTIVE else "disabled"
            submission.succeed(f"{user.name} is {now}", UsersState.load)
        return submission.events

    @rx.event
    async def open_end(self, user_id: int) -> Any:
        """Ask before somebody is signed out."""
        user = await call(self, users.get_user, user_id)
        return open_dialog(self, END, f"End all sessions of {user.name}?", hidden={"user": user.user_id})

    @rx.event
    async def end(self, form: dict[str, Any]) -> Any:
        """Sign somebody out everywhere."""
        async with submitting(self, form) as submission:
            await call(self, users.end_sessions, read_number(form, "user"))
            submission.succeed("Signed out everywhere", UsersState.load)
        return submission.events

    @rx.event
    async def open_reset(self, user_id: int) -> Any:
        """Ask before somebody's password is replaced."""
        user = await call(self, users.get_user, user_id)
        title = f"New one-time password for {user.name}?"
        return open_dialog(self, RESET, title, hidden={"user": user.user_id})

    @rx.event
    async def reset_password(self, form: dict[str, Any]) -> Any:
        """Replace somebody's password; the new one goes to the screen and is kept nowhere."""
        async with submitting(self, form) as submission:
            made = await call(self, users.reset_password, read_number(form, "user"))
            self._hand_over(submission, made, f"{made.user.name} has a new one-time password")
        return submission.events

    def _hand_over(self, submission: Submission, made: NewUser, said: str) -> None:
        self.whose, self.whose_email = made.user.name, made.user.email
        submission.succeed(
            said, run_in_browser("showSecret", SECRET, made.one_time_password), UsersState.load
        )


def _status(user: UserRow, status: UserStatus) -> dict[str, object]:
    return {"user": user.user_id, "status": status.value}


def _person(user: UserRow, self_id: int, zone: ZoneInfo) -> PersonItem:
    last = user.last_sign_in_at
    status = (
        "invited" if user.must_change_password and user.status == UserStatus.ACTIVE else user.status.value
    )
    return PersonItem(
        user_id=user.user_id,
        name=user.name,
        email=user.email,
        role=ROLE_LABELS[user.role],
        status=status,
        signed_in=text.timestamp(last, zone) if last else "Never",
        signed_in_utc=text.timestamp_utc(last) if last else "",
        is_self=user.user_id == self_id,
        is_disabled=user.status == UserStatus.DISABLED,
    )

"""The page of users."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.services.identity import users
from billing_app.services.identity.rows import NewUser, UserRow, UserStatus
from billing_app.state.kit import text
from billing_app.state.kit.browser import run_in_browser
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import (
    Form,
    Submission,
    call_once,
    open_dialog,
    read_number,
    read_text,
    submitting,
)
from billing_app.state.kit.lists import Pages, Sorting, parse_listing
from billing_app.state.kit.session import ROLE_LABELS, SessionState, authenticated, call, viewer_zone
from billing_app.state.presenters.people import UserItem

ROWS = 25
INVITE, EDIT, SECRET = "invite-user", "edit-user", "one-time-password"
DISABLE, ENABLE, RESET, END = "disable-user", "enable-user", "reset-password", "end-sessions"
UNLOCK = "unlock-user"


class UsersState(rx.State):
    """One page of the list of users, and the form of the dialog that is open."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[UserItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    heads: rx.Field[dict[str, Sorting]] = rx.field(default_factory=dict)
    form: Form = Form()
    # The user whose one-time password is shown. The password itself is never stored in a state.
    secret_name: str = ""
    secret_email: str = ""

    @rx.event
    async def load(self) -> None:
        """Load the users that the address selects."""
        listing = parse_listing(self, "/users", "search", "role", "status", "sort")
        async with loading(self):
            viewer = await authenticated(self)
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
            self.rows = [_item(user, viewer.user.user_id, zone) for user in page.items]
            self.pages = listing.pages(page.next_cursor)
            self.heads = listing.sorting(
                ("name", "role", "signed_in"), default="name", largest_first=("signed_in",)
            )

    @rx.event
    async def open_invite(self) -> Any:
        """Open the dialog that invites a user."""
        return open_dialog(self, INVITE, "Invite user", start={"email": "", "name": "", "role": "billing"})

    @rx.event
    async def invite(self, form: dict[str, Any]) -> Any:
        """Create a user and show the one-time password, which is never stored."""
        async with submitting(self, form) as submission:
            submission.repeated = (
                "User invited, but the one-time password could not be shown. Create another one."
            )
            created = await call_once(
                self,
                form,
                users.create_user,
                email=read_text(form, "email"),
                name=read_text(form, "name"),
                role=read_text(form, "role"),
            )
            self._show_password(submission, created, f"User {created.user.name} invited")
        return submission.events

    @rx.event
    async def open_edit(self, user_id: int) -> Any:
        """Open the dialog that changes a user's name and role."""
        user = await call(self, users.get_user, user_id)
        start = {"name": user.name, "role": user.role.value}
        hidden = {"user": user.user_id, "version": user.version}
        return open_dialog(self, EDIT, f"Edit {user.name}", start=start, hidden=hidden)

    @rx.event
    async def save(self, form: dict[str, Any]) -> Any:
        """Save a user's name and role, which take effect with the user's next click."""
        async with submitting(self, form) as submission:
            user = await call_once(
                self,
                form,
                users.update_user,
                read_number(form, "user"),
                name=read_text(form, "name"),
                role=read_text(form, "role"),
                version=read_number(form, "version"),
            )
            # Users may change their own role.
            submission.succeed(f"User {user.name} saved", SessionState.enter, UsersState.load)
        return submission.events

    @rx.event
    async def open_disable(self, user_id: int) -> Any:
        """Ask for confirmation to disable a user."""
        user = await call(self, users.get_user, user_id)
        hidden = {"user": user.user_id, "status": UserStatus.DISABLED.value}
        return open_dialog(self, DISABLE, f"Disable {user.name}?", hidden=hidden)

    @rx.event
    async def open_enable(self, user_id: int) -> Any:
        """Ask for confirmation to enable a user."""
        user = await call(self, users.get_user, user_id)
        hidden = {"user": user.user_id, "status": UserStatus.ACTIVE.value}
        return open_dialog(self, ENABLE, f"Enable {user.name}?", hidden=hidden)

    @rx.event
    async def set_status(self, form: dict[str, Any]) -> Any:
        """Disable or enable a user."""
        async with submitting(self, form) as submission:
            user = await call_once(
                self, form, users.update_user, read_number(form, "user"), status=read_text(form, "status")
            )
            change = "enabled" if user.status == UserStatus.ACTIVE else "disabled"
            submission.succeed(f"User {user.name} {change}", UsersState.load)
        return submission.events

    @rx.event
    async def open_end(self, user_id: int) -> Any:
        """Ask for confirmation to end a user's sessions."""
        user = await call(self, users.get_user, user_id)
        return open_dialog(self, END, f"End all sessions of {user.name}?", hidden={"user": user.user_id})

    @rx.event
    async def end(self, form: dict[str, Any]) -> Any:
        """End all sessions of a user."""
        async with submitting(self, form) as submission:
            await call_once(self, form, users.end_sessions, read_number(form, "user"))
            submission.succeed("All sessions ended", UsersState.load)
        return submission.events

    @rx.event
    async def open_unlock(self, user_id: int) -> Any:
        """Ask for confirmation to end the locks on a user's sign-in."""
        user = await call(self, users.get_user, user_id)
        return open_dialog(self, UNLOCK, f"Unlock {user.name}?", hidden={"user": user.user_id})

    @rx.event
    async def unlock(self, form: dict[str, Any]) -> Any:
        """End the locks on a user's sign-in."""
        async with submitting(self, form) as submission:
            user = await call(self, users.unlock_user, read_number(form, "user"))
            submission.succeed(f"User {user.name} unlocked", UsersState.load)
        return submission.events

    @rx.event
    async def open_reset(self, user_id: int) -> Any:
        """Ask for confirmation to replace a user's password."""
        user = await call(self, users.get_user, user_id)
        title = f"Create a one-time password for {user.name}?"
        return open_dialog(self, RESET, title, hidden={"user": user.user_id})

    @rx.event
    async def reset_password(self, form: dict[str, Any]) -> Any:
        """Replace a user's password and show the one-time password, which is never stored."""
        async with submitting(self, form) as submission:
            submission.repeated = "The one-time password could not be shown. Create another one."
            created = await call_once(self, form, users.reset_password, read_number(form, "user"))
            message = f"One-time password for {created.user.name} created"
            self._show_password(submission, created, message)
        return submission.events

    def _show_password(self, submission: Submission, created: NewUser, message: str) -> None:
        self.secret_name, self.secret_email = created.user.name, created.user.email
        show = run_in_browser("showSecret", SECRET, created.one_time_password)
        submission.succeed(message, show, UsersState.load)


def _item(user: UserRow, viewer_id: int, zone: ZoneInfo) -> UserItem:
    is_active = user.status == UserStatus.ACTIVE
    last = user.last_sign_in_at
    return UserItem(
        user_id=user.user_id,
        name=user.name,
        email=user.email,
        role=ROLE_LABELS[user.role],
        status="invited" if user.must_change_password and is_active else user.status.value,
        signed_in=text.timestamp(last, zone) if last else "Never",
        signed_in_utc=text.timestamp_utc(last) if last else "",
        locked_until=text.timestamp(user.locked_until, zone) if user.locked_until else "",
        is_self=user.user_id == viewer_id,
        is_disabled=not is_active,
    )

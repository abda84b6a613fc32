"""The users."""

from __future__ import annotations

from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Timestamp, Version
from billing_app.domain.actor import Permission, Role
from billing_app.services.identity import rows, users
from billing_app.services.identity.rows import UserRow, UserStatus
from billing_app.services.shared.ids import get_number

router = resource("/users", "Users")


class User(BaseModel):
    """A user. Disabled users can't sign in."""

    id: str = Field(examples=["usr_4"])
    email: str = Field(examples=["ada@example.com"])
    name: str = Field(examples=["Ada Admin"])
    role: Role
    status: UserStatus
    must_change_password: bool = Field(
        description="Whether the user still has a one-time password and must choose another one."
    )
    created_at: Timestamp
    last_sign_in_at: Timestamp | None = Field(description="Null if the user has never signed in.")
    locked_until: Timestamp | None = Field(
        description="When the user's longest lockout after failed sign-ins ends, or null if there is none."
        " A lockout applies only to the addresses and browsers that the failures came from, or, after many"
        " failures, to all that the user has not signed in from before."
    )
    version: int = Field(examples=[1])


class UserWithPassword(User):
    """A user and their new one-time password."""

    one_time_password: str | None = Field(
        description="Shown only once, and must be changed at the next sign-in. Null if you set a password,"
        " and in the response to a retry."
    )


class NewUser(Body):
    """A new user. If you omit the password, a one-time password is generated."""

    email: str = Field(examples=["ada@example.com"])
    name: str = Field(examples=["Ada Admin"])
    role: Role
    password: str | None = Field(
        None, description="At least 12 characters, at most 72 bytes, and not easy to guess."
    )


class UserChange(Body):
    """The fields to change. Omitted fields keep their values."""

    name: str | None = Field(None, examples=["Ada Adams"])
    role: Role | None = None
    status: UserStatus | None = None
    version: Version | None = None


@router.get("")
def list_users(call: Caller, paged: Paged) -> Page[User]:
    """List users by name."""
    return page_of(call.do(users.list_users, **paged), _as_user)


@router.post(
    "",
    status_code=201,
    responses=refusals(
        "email_taken",
        "password_too_short",
        "password_too_long",
        "password_too_common",
        "idempotency_conflict",
    ),
)
def create_user(once: OnceOnly, body: NewUser) -> UserWithPassword:
    """Create a user.

    A retry with the same `Idempotency-Key` returns the user without the one-time password, which is
    never stored. In that case, create another one-time password for the user.
    """

    def describe(created: rows.NewUser) -> Created[UserWithPassword]:
        location = f"/api/v1/users/{created.user.public_id}"
        return Created(_with_password(created), location, secrets=("one_time_password",))

    return once.create(
        Permission.ADMINISTER,
        UserWithPassword,
        describe,
        users.create_user,
        email=body.email,
        name=body.name,
        role=body.role,
        password=body.password,
    )


@router.get("/{user}", responses=refusals("user_not_found"))
def get_user(call: Caller, user: str) -> User:
    """Get a user."""
    return _as_user(call.do(users.get_user, _user_number(user)))


@router.patch("/{user}", responses=refusals("user_not_found", "last_admin", "stale"))
def update_user(call: Caller, user: str, body: UserChange) -> User:
    """Update a user.

    A new role takes effect at the user's next request. Disabling a user ends all of their sessions.
    """
    changed = call.do(
        users.update_user,
        _user_number(user),
        name=body.name,
        role=body.role,
        status=body.status,
        version=body.version,
    )
    return _as_user(changed)


@router.post("/{user}/one-time-password", responses=refusals("user_not_found", "own_password"))
def reset_password(call: Caller, user: str) -> UserWithPassword:
    """Replace a user's password with a one-time password.

    The old password stops working, and all of the user's sessions end. If you get no response, send the
    request again: only the newest one-time password works.
    """
    return _with_password(call.do(users.reset_password, _user_number(user)))


@router.post("/{user}/unlock", responses=refusals("user_not_found"))
def unlock_user(call: Caller, user: str) -> User:
    """Unlock a user.

    Ends every lockout after failed sign-ins and resets the count of failures.
    """
    return _as_user(call.do(users.unlock_user, _user_number(user)))


@router.delete("/{user}/sessions", status_code=204, responses=refusals("user_not_found"))
def end_sessions(call: Caller, user: str) -> None:
    """End all sessions of a user at once."""
    call.do(users.end_sessions, _user_number(user))


def _user_number(user: str) -> int:
    return get_number("usr", user, "user")


def _with_password(created: rows.NewUser) -> UserWithPassword:
    return UserWithPassword(**dict(_as_user(created.user)), one_time_password=created.one_time_password)


def _as_user(row: UserRow) -> User:
    return User(
        id=row.public_id,
        email=row.email,
        name=row.name,
        role=row.role,
        status=row.status,
        must_change_password=row.must_change_password,
        created_at=row.created_at,
        last_sign_in_at=row.last_sign_in_at,
        locked_until=row.locked_until,
        version=row.version,
    )

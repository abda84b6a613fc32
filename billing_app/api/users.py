"""The people who may sign in."""

from __future__ import annotations

from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Timestamp, Version
from billing_app.domain.actor import Permission, Role
from billing_app.services.identity import users
from billing_app.services.identity.users import UserRow, UserStatus
from billing_app.services.shared.ids import get_number

router = resource("/users", "Users")


class User(BaseModel):
    """A person who may sign in, unless disabled."""

    id: str = Field(examples=["usr_4"])
    email: str = Field(examples=["ada@example.com"])
    name: str = Field(examples=["Ada Admin"])
    role: Role
    status: UserStatus
    must_change_password: bool = Field(description="Whether the password is still the one-time one.")
    created_at: Timestamp
    last_sign_in_at: Timestamp | None
    version: int = Field(examples=[1])


class UserMade(User):
    """The user, and the one-time password if one was just made."""

    one_time_password: str | None = Field(
        description="Shown only once, and must be changed at the next sign-in. Null when you gave a password, and in a repeated answer."
    )


class NewUser(Body):
    """A user to be made. Without a password a one-time password is made."""

    email: str = Field(examples=["ada@example.com"])
    name: str = Field(examples=["Ada Admin"])
    role: Role
    password: str | None = Field(
        None, description="At least 12 characters, at most 72 bytes, and no likely guess."
    )


class UserChange(Body):
    """What is to change; the rest stays."""

    name: str | None = Field(None, examples=["Ada Adams"])
    role: Role | None = None
    status: UserStatus | None = None
    version: Version | None = None


@router.get("")
def list_users(call: Caller, paged: Paged) -> Page[User]:
    """List users by name."""
    return page_of(call.do(users.list_users, **paged), user_of)


@router.post(
    "",
    status_code=201,
    responses=refusals(
        "email_taken", "password_too_short", "password_too_long", "password_too_common",
        "idempotency_conflict",
    ),
)  # fmt: skip
def create_user(once: OnceOnly, body: NewUser) -> UserMade:
    """Create a user.

    A retry with the same `Idempotency-Key` returns the user without the one-time password, which is never
    stored: reset it to get another one.
    """

    def describe(created: users.NewUser) -> Created[UserMade]:
        location = f"/api/v1/users/{created.user.public_id}"
        return Created(_made(created), location, secrets=("one_time_password",))

    return once.create(
        Permission.ADMINISTER,
        UserMade,
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
    return user_of(call.do(users.get_user, _number(user)))


@router.patch("/{user}", responses=refusals("user_not_found", "last_admin", "stale"))
def update_user(call: Caller, user: str, body: UserChange) -> User:
    """Change a user.

    A changed role counts at the user's next request. `disabled` ends all of the user's sessions.
    """
    changed = call.do(
        users.update_user,
        _number(user),
        name=body.name,
        role=body.role,
        status=body.status,
        version=body.version,
    )
    return user_of(changed)


@router.post("/{user}/one-time-password", responses=refusals("user_not_found", "own_password"))
def reset_password(call: Caller, user: str) -> UserMade:
    """Give somebody who forgot their password a one-time password.

    The password that it replaces is no longer good, and all of the user's sessions end.
    """
    return _made(call.do(users.reset_password, _number(user)))


@router.delete("/{user}/sessions", status_code=204, responses=refusals("user_not_found"))
def end_sessions(call: Caller, user: str) -> None:
    """Sign a user out everywhere, at once."""
    call.do(users.end_sessions, _number(user))


def _made(made: users.NewUser) -> UserMade:
    return UserMade(**dict(user_of(made.user)), one_time_password=made.one_time_password)


def _number(user: str) -> int:
    return get_number("usr", user, "user")


def user_of(row: UserRow) -> User:
    """The user as it goes out."""
    return User(
        id=row.public_id,
        email=row.email,
        name=row.name,
        role=row.role,
        status=row.status,
        must_change_password=row.must_change_password,
        created_at=row.created_at,
        last_sign_in_at=row.last_sign_in_at,
        version=row.version,
    )

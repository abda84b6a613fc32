"""What the identity services return. No row contains a password, a token or a hash of either."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from billing_app.domain.actor import Actor, Role, Scope
from billing_app.services.shared.ids import public_id


class UserStatus(StrEnum):
    """A user is disabled rather than deleted."""

    ACTIVE = "active"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Account:
    """The part of a user that signing in needs."""

    user_id: int
    email: str
    name: str
    role: Role
    must_change_password: bool

    @property
    def public_id(self) -> str:
        """`usr_4`, which is also the ID of the user's actor."""
        return public_id("usr", self.user_id)

    @property
    def actor(self) -> Actor:
        """The user as an actor."""
        return Actor(kind="user", id=self.public_id, name=self.name, role=self.role)


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user as admins see it.

    `locked_until` is when the longest lock after failed sign-ins ends, or None if there is no lock.
    """

    user_id: int
    email: str
    name: str
    role: Role
    status: UserStatus
    must_change_password: bool
    created_at: datetime
    last_sign_in_at: datetime | None
    locked_until: datetime | None
    version: int

    @property
    def public_id(self) -> str:
        """`usr_4`, which is also the ID of the user's actor."""
        return public_id("usr", self.user_id)


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user and the one-time password that was created with it, which can't be retrieved again."""

    user: UserRow
    one_time_password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session's token and lifetime, and the token that marks the browser as known."""

    token: str = field(repr=False)
    browser_token: str = field(repr=False)
    expires_in_seconds: int
    user: Account


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The user that a session's token belongs to.

    The caller must enforce `user.must_change_password`; it doesn't affect the actor's permissions.
    """

    actor: Actor
    user: Account
    session_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session that has neither expired nor been ended."""

    session_id: str
    created_at: datetime
    expires_at: datetime
    user_agent: str
    address: str


@dataclass(frozen=True, slots=True)
class TokenRow:
    """An API token without its secret. `created_by` is a user's ID, or None for the system."""

    token_id: int
    name: str
    scopes: tuple[Scope, ...]
    created_by: str | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def public_id(self) -> str:
        """`tok_2`, which is also the ID of the token's actor."""
        return public_id("tok", self.token_id)


@dataclass(frozen=True, slots=True)
class NewToken:
    """An API token that was just created. `token` is its secret, which can't be retrieved again."""

    row: TokenRow
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenActor:
    """The actor of an API token, and whether the token's last use should be updated."""

    actor: Actor
    is_use_due: bool

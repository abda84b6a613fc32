"""Users and their sessions, API tokens, and the counts that limit failed sign-ins."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
)
from sqlmodel import Field, SQLModel

from billing_app.models.columns import identity_column, moment_column, text_column


class UserAccount(SQLModel, table=True):
    """A user with a role. Users are disabled rather than deleted."""

    __tablename__ = "user_account"
    __table_args__ = (
        CheckConstraint("role IN ('admin', 'billing', 'finance')", name="role_known"),
        CheckConstraint("status IN ('active', 'disabled')", name="status_known"),
        Index("uq_user_account_email", "email_key", unique=True),
    )

    user_id: int | None = Field(default=None, sa_column=identity_column())
    email: str = Field(sa_column=text_column())
    # The normal form that decides whether two addresses are the same.
    email_key: str = Field(sa_column=text_column())
    name: str = Field(sa_column=text_column())
    role: str = Field(sa_column=text_column())
    status: str = Field(default="active", sa_column=text_column())
    password_hash: str = Field(sa_column=text_column())
    must_change_password: bool = Field(default=False, sa_column=Column(Boolean, nullable=False))
    created_at: datetime = Field(sa_column=moment_column())
    last_sign_in_at: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))
    version: int = Field(default=1, sa_column=Column(BigInteger, nullable=False))


class UserSession(SQLModel, table=True):
    """A signed-in session. Its token is valid until the session expires or is revoked."""

    __tablename__ = "user_session"
    __table_args__ = (
        ForeignKeyConstraint(["user_id"], ["user_account.user_id"]),
        CheckConstraint("expires_at > created_at", name="expires_after_start"),
        Index("ix_user_session_user_id", "user_id"),
    )

    session_id: str = Field(sa_column=Column(Text, primary_key=True))
    user_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = Field(sa_column=moment_column())
    expires_at: datetime = Field(sa_column=moment_column())
    revoked_at: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))
    user_agent: str = Field(default="", sa_column=text_column())
    address: str = Field(default="", sa_column=text_column())


class ApiToken(SQLModel, table=True):
    """A token that a program uses to call the API. Only a hash of it is stored."""

    __tablename__ = "api_token"
    __table_args__ = (
        ForeignKeyConstraint(["created_by"], ["user_account.user_id"]),
        CheckConstraint(
            "scopes <@ ARRAY['usage:write', 'usage:correct', 'read'] AND cardinality(scopes) > 0",
            name="scopes_known",
        ),
        CheckConstraint("btrim(name) <> ''", name="name_given"),
        Index("uq_api_token_sha256", "token_sha256", unique=True),
    )

    token_id: int | None = Field(default=None, sa_column=identity_column())
    name: str = Field(sa_column=text_column())
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    token_sha256: str = Field(sa_column=text_column())
    # Empty when the command line or the demo created it, because neither has an account.
    created_by: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    created_at: datetime = Field(sa_column=moment_column())
    last_used_at: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))


class KnownPlace(SQLModel, table=True):
    """A browser or network address that a user signed in from, as a hash."""

    __tablename__ = "known_place"
    __table_args__ = (
        ForeignKeyConstraint(["user_id"], ["user_account.user_id"]),
        CheckConstraint("place ~ '^[0-9a-f]{64}$'", name="place_hashed"),
        Index("ix_known_place_place", "place"),
    )

    user_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    place: str = Field(sa_column=Column(Text, primary_key=True))
    last_used_at: datetime = Field(sa_column=moment_column())


class SignInAttempt(SQLModel, table=True):
    """A count of failed sign-ins: for an account from one place, for a whole account, or from an address.

    `place` is empty in the count for a whole account, and `account` in the count for an address.
    Both are hashes: nothing that was typed into the sign-in form is stored.
    """

    __tablename__ = "sign_in_attempt"
    __table_args__ = (
        CheckConstraint("account ~ '^([0-9a-f]{64})?$'", name="account_hashed"),
        CheckConstraint("place ~ '^([0-9a-f]{64})?$'", name="place_hashed"),
        CheckConstraint("account <> '' OR place <> ''", name="subject_given"),
        CheckConstraint("failures >= 0", name="failures_counted"),
        CheckConstraint("last_at >= first_at", name="first_before_last"),
        Index("ix_sign_in_attempt_last_at", "last_at"),
    )

    account: str = Field(sa_column=Column(Text, primary_key=True))
    place: str = Field(sa_column=Column(Text, primary_key=True))
    failures: int = Field(sa_column=Column(Integer, nullable=False))
    first_at: datetime = Field(sa_column=moment_column())
    last_at: datetime = Field(sa_column=moment_column())
    locked_until: datetime | None = Field(default=None, sa_column=moment_column(nullable=True))

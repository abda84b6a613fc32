"""Users, their sessions and sign-ins, and API tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing_app.database.baseline.pieces import TIMESTAMP, Subject


def _create_user_tables() -> None:
    """Create the users and their sessions."""
    op.create_table(
        "user_account",
        sa.Column("user_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("last_sign_in_at", TIMESTAMP, nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_account")),
        sa.CheckConstraint(
            "role IN ('admin', 'billing', 'finance')", name=op.f("ck_user_account_role_known")
        ),
        sa.CheckConstraint("status IN ('active', 'disabled')", name=op.f("ck_user_account_status_known")),
    )
    op.create_table(
        "user_session",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("expires_at", TIMESTAMP, nullable=False),
        sa.Column("revoked_at", TIMESTAMP, nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_user_session")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.user_id"], name=op.f("fk_user_session_user_account")
        ),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_user_session_expires_after_start")),
    )


def _create_sign_in_attempt_tables() -> None:
    """Create the counts of failed sign-ins and the places users signed in from before.

    Both are stored here so that all server processes share them. Accounts and places are hashes:
    nothing that was typed into the sign-in form is stored.
    """
    op.create_table(
        "known_place",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("last_used_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "place", name=op.f("pk_known_place")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.user_id"], name=op.f("fk_known_place_user_account")
        ),
        sa.CheckConstraint("place ~ '^[0-9a-f]{64}$'", name=op.f("ck_known_place_place_hashed")),
    )
    op.create_table(
        "sign_in_attempt",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("first_at", TIMESTAMP, nullable=False),
        sa.Column("last_at", TIMESTAMP, nullable=False),
        sa.Column("locked_until", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("account", "place", name=op.f("pk_sign_in_attempt")),
        sa.CheckConstraint("account ~ '^([0-9a-f]{64})?$'", name=op.f("ck_sign_in_attempt_account_hashed")),
        sa.CheckConstraint("place ~ '^([0-9a-f]{64})?$'", name=op.f("ck_sign_in_attempt_place_hashed")),
        sa.CheckConstraint("account <> '' OR place <> ''", name=op.f("ck_sign_in_attempt_subject_given")),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_sign_in_attempt_failures_counted")),
        sa.CheckConstraint("last_at >= first_at", name=op.f("ck_sign_in_attempt_first_before_last")),
    )


def _create_api_token_table() -> None:
    """Create the API tokens, of which only a hash is stored.

    `created_by` is empty for tokens that the command line or the demo created, because neither acts
    as a user.
    """
    op.create_table(
        "api_token",
        sa.Column("token_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("last_used_at", TIMESTAMP, nullable=True),
        sa.Column("revoked_at", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_api_token")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["user_account.user_id"], name=op.f("fk_api_token_user_account")
        ),
        sa.CheckConstraint("btrim(name) <> ''", name=op.f("ck_api_token_name_given")),
        sa.CheckConstraint(
            "scopes <@ ARRAY['usage:write', 'usage:correct', 'read'] AND cardinality(scopes) > 0",
            name=op.f("ck_api_token_scopes_known"),
        ),
    )


def _create_identity_indexes() -> None:
    """Create the indexes on users, sessions, API tokens and sign-in attempts."""
    op.create_index("uq_user_account_email", "user_account", ["email_key"], unique=True)
    op.create_index("ix_user_session_user_id", "user_session", ["user_id"])
    op.create_index("uq_api_token_sha256", "api_token", ["token_sha256"], unique=True)
    # Counts that are old enough to be deleted are found by their last attempt.
    op.create_index("ix_known_place_place", "known_place", ["place"])
    op.create_index("ix_sign_in_attempt_last_at", "sign_in_attempt", ["last_at"])


SUBJECT = Subject(
    tables=("user_account", "user_session", "known_place", "sign_in_attempt", "api_token"),
    steps=(
        _create_user_tables,
        _create_sign_in_attempt_tables,
        _create_api_token_table,
        _create_identity_indexes,
    ),
)

"""Queries about users, sessions and tokens. They check no permission, because they identify the caller."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
from sqlmodel import Session, col, select, update

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Role, Scope
from billing_app.errors import Unauthenticated
from billing_app.models import UserAccount, UserSession
from billing_app.services.identity import session_tokens
from billing_app.services.identity.rows import Account, Authenticated, TokenActor, UserStatus
from billing_app.services.identity.token_form import PREFIX, hash_token
from billing_app.services.shared.ids import find_number, public_id

TOKEN_USE_NOTED_EVERY = timedelta(minutes=1)
_TOKEN_CHARACTERS_MAX = 100

_FIND_TOKENS = """
    SELECT token_sha256, token_id, name, scopes, last_used_at FROM api_token
     WHERE token_sha256 = ANY(%s) AND revoked_at IS NULL
"""


def authenticate(session: Session, *, token: str, secret: str) -> Authenticated:
    """Return the user that a session's token belongs to. Raises Unauthenticated (`invalid_token`).

    Role and status are read each time, so a change takes effect at the next request. One indexed query.
    """
    moment = now(session)
    subject, session_id = session_tokens.decode(token, secret, moment)
    found = session.exec(
        select(UserAccount, UserSession)
        .join(UserSession, col(UserSession.user_id) == col(UserAccount.user_id))
        .where(
            UserSession.session_id == session_id,
            UserAccount.user_id == find_number("usr", subject),
            UserAccount.status == UserStatus.ACTIVE,
            col(UserSession.revoked_at).is_(None),
            col(UserSession.expires_at) > moment,
        )
    ).one_or_none()
    if found is None:
        raise Unauthenticated("invalid_token")
    account = as_account(found[0])
    return Authenticated(account.actor, account, found[1].session_id, found[1].expires_at)


def find_user(session: Session, email_key: str) -> UserAccount | None:
    """Return the user with this normalized email address, whatever the user's status."""
    return session.exec(select(UserAccount).where(UserAccount.email_key == email_key)).one_or_none()


def as_account(user: UserAccount) -> Account:
    """Return the part of a user that signing in needs."""
    assert user.user_id is not None
    return Account(
        user_id=user.user_id,
        email=user.email,
        name=user.name,
        role=Role(user.role),
        must_change_password=user.must_change_password,
    )


def revoke_sessions(session: Session, user_id: int, *, keep_session_id: str | None = None) -> None:
    """Revoke every session of the user except the one to keep."""
    session.execute(
        update(UserSession)
        .where(col(UserSession.user_id) == user_id, col(UserSession.revoked_at).is_(None))
        .where(col(UserSession.session_id).is_distinct_from(keep_session_id))
        .values(revoked_at=now(session))
    )


async def find_token_actors(
    connection: psycopg.AsyncConnection[Any], tokens: Sequence[str], now: datetime
) -> list[TokenActor | Unauthenticated]:
    """Return the actor of each API token, or the error (`invalid_token`) for each invalid one.

    One indexed query for all of them, which only reads.
    """
    hashes = {token: hash_token(token) for token in set(tokens) if _has_token_form(token)}
    rows = await (await connection.execute(_FIND_TOKENS, [list(hashes.values())], prepare=True)).fetchall()
    noted_before = now - TOKEN_USE_NOTED_EVERY
    found = {token_sha256: _token_actor(noted_before, *rest) for token_sha256, *rest in rows}
    return [found.get(hashes.get(token, "")) or Unauthenticated("invalid_token") for token in tokens]


def _has_token_form(token: str) -> bool:
    return token.startswith(PREFIX) and len(token) <= _TOKEN_CHARACTERS_MAX and token.isascii()


def _token_actor(
    noted_before: datetime, token_id: int, name: str, scopes: list[str], last_used_at: datetime | None
) -> TokenActor:
    actor = Actor("token", public_id("tok", token_id), name, scopes=frozenset(map(Scope, scopes)))
    return TokenActor(actor, is_use_due=last_used_at is None or last_used_at <= noted_before)

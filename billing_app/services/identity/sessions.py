"""Signing in and out, and the user's own sessions and password.

A token only identifies a session. Its validity and the user's role are read from the database on each
request, so signing out, disabling a user or changing a role takes effect at once.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlmodel import Session, col, select, tuple_, update

from billing_app.database.counts import count
from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Forbidden, Invalid, NotFound, Unauthenticated
from billing_app.models import UserAccount, UserSession
from billing_app.services.identity import passwords, session_tokens
from billing_app.services.identity.known_places import remember_place
from billing_app.services.identity.queries import as_account, find_user, revoke_sessions
from billing_app.services.identity.rows import Account, SessionRow, SignedIn, UserStatus
from billing_app.services.identity.sign_in_attempts import Attempt
from billing_app.services.shared import audit
from billing_app.services.shared.emails import email_key
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require

SESSION_LIFETIME = timedelta(hours=12)
_CLIENT_TEXT_MAX = 300


def sign_in(
    session: Session,
    actor: Actor,
    *,
    email: str,
    password: str,
    secret: str,
    user_agent: str = "",
    address: str = "",
    browser_token: str = "",
) -> SignedIn:
    """Start a session if the user is active and the password correct, and remember the place.

    Raises Unauthenticated (`invalid_credentials`) otherwise, in the same time whether the account
    exists or not. The caller counts the attempt first, with `sign_in_attempts`.
    """
    require(actor, Permission.IDENTITY)
    user = find_user(session, email_key(email)) if isinstance(email, str) else None
    if user and user.status != UserStatus.ACTIVE:
        user = None
    is_right = passwords.matches(password, user.password_hash if user else None)
    if user is None or not is_right or not _mark_signed_in(session, user):
        raise Unauthenticated("invalid_credentials")
    account = as_account(user)
    browser_token = remember_place(
        session, actor, user_id=account.user_id, address=address, browser_token=browser_token
    )
    started = _start_session(session, account, user_agent, address)
    claims = session_tokens.Claims(
        account.public_id, started.session_id, started.created_at, started.expires_at
    )
    return SignedIn(
        token=session_tokens.encode(claims, secret),
        browser_token=browser_token,
        expires_in_seconds=int(SESSION_LIFETIME.total_seconds()),
        user=account,
    )


def _start_session(session: Session, account: Account, user_agent: str, address: str) -> UserSession:
    started = UserSession(
        session_id=secrets.token_urlsafe(24),
        user_id=account.user_id,
        created_at=now(session),
        expires_at=now(session) + SESSION_LIFETIME,
        user_agent=_printable(user_agent),
        address=_printable(address),
    )
    session.add(started)
    audit.record(session, account.actor, "user.signed_in", account.public_id, address=started.address)
    session.flush()
    return started


def _mark_signed_in(session: Session, user: UserAccount) -> bool:
    """Lock the user's row. Return whether the user is still active and the password still the checked one."""
    marked = session.execute(
        update(UserAccount)
        .where(
            col(UserAccount.user_id) == user.user_id,
            col(UserAccount.status) == UserStatus.ACTIVE,
            col(UserAccount.password_hash) == user.password_hash,
        )
        .values(last_sign_in_at=now(session))
        .returning(col(UserAccount.user_id))
    )
    return marked.first() is not None


def record_failure(session: Session, actor: Actor, attempt: Attempt, *, action: str) -> None:
    """Record a failed attempt in the audit log, with the locks that it started.

    Runs the same statements whether the account exists or not. The typed email is not recorded,
    because people sometimes type their password into the wrong field.
    """
    require(actor, Permission.IDENTITY)
    count(session, "sign_in_failures", action)
    user = find_user(session, attempt.email_key)
    subject = as_account(user).public_id if user else "unknown"
    address = _printable(attempt.address)
    audit.record(session, actor, action, subject, address=address)
    if attempt.locks_place:
        audit.record(session, actor, "user.locked_out", subject, address=address)
    if attempt.locks_account:
        audit.record(session, actor, "user.locked_for_new_places", subject, address=address)
    if attempt.locks_address:
        audit.record(session, actor, "address.locked_out", "unknown", address=address)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:_CLIENT_TEXT_MAX]


def sign_out(session: Session, actor: Actor, *, session_id: str) -> None:
    """End the session at once. Does nothing if it has ended or does not exist."""
    require(actor, Permission.IDENTITY)
    _revoke(session, "user.signed_out", session_id)


def end_session(session: Session, actor: Actor, *, user_id: int, session_id: str) -> None:
    """End one of the user's own sessions. Raises NotFound (`session_not_found`) for any other."""
    require(actor, Permission.IDENTITY)
    _check_own(session, user_id, session_id)
    _revoke(session, "user.session_ended", session_id)


def end_other_sessions(session: Session, actor: Actor, *, user_id: int, keep_session_id: str) -> None:
    """End all of the user's own sessions except one of them. Raises NotFound (`session_not_found`)."""
    require(actor, Permission.IDENTITY)
    _check_own(session, user_id, keep_session_id)
    revoke_sessions(session, user_id, keep_session_id=keep_session_id)
    account = as_account(session.get_one(UserAccount, user_id))
    audit.record(session, account.actor, "user.other_sessions_ended", account.public_id)


def _check_own(session: Session, user_id: int, session_id: object) -> None:
    is_storable = isinstance(session_id, str) and session_id.isprintable()
    found = session.get(UserSession, session_id) if is_storable else None
    if found is None or found.user_id != user_id:
        raise NotFound("session_not_found")


def _revoke(session: Session, action: str, session_id: str) -> None:
    user_id = session.execute(
        update(UserSession)
        .where(col(UserSession.session_id) == session_id, col(UserSession.revoked_at).is_(None))
        .values(revoked_at=now(session))
        .returning(col(UserSession.user_id))
    ).scalar_one_or_none()
    if user_id is not None:
        account = as_account(session.get_one(UserAccount, user_id))
        audit.record(session, account.actor, action, account.public_id)


def list_sessions(
    session: Session, actor: Actor, *, user_id: int, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[SessionRow]:
    """List the user's own sessions that are still valid, newest first."""
    if actor.kind != "system" and actor.id != public_id("usr", user_id):
        raise Forbidden(reason="not_own_sessions")
    query = (
        select(UserSession)
        .where(
            UserSession.user_id == user_id,
            col(UserSession.revoked_at).is_(None),
            col(UserSession.expires_at) > now(session),
        )
        .order_by(col(UserSession.created_at).desc(), col(UserSession.session_id).desc())
        .limit(check_limit(limit) + 1)
    )
    after = decode_cursor(cursor, datetime, str)
    if after:
        query = query.where(tuple_(col(UserSession.created_at), col(UserSession.session_id)) < tuple_(*after))
    rows = [
        SessionRow(
            session_id=each.session_id,
            created_at=each.created_at,
            expires_at=each.expires_at,
            user_agent=each.user_agent,
            address=each.address,
        )
        for each in session.exec(query)
    ]
    return page_of(rows, limit, lambda row: (row.created_at, row.session_id))


def check_new_password(account: Account, *, current: object, new: object) -> str:
    """Return the new password if it follows the rules and differs from `current`.

    Raises Invalid. The outcome reveals nothing about the actual password, so the caller need not count it.
    """
    checked = passwords.check_rules("new", new, account_words=(account.email, account.name))
    if checked == current:
        raise Invalid("new", "password_unchanged", code="password_unchanged")
    return checked


def change_password(
    session: Session, actor: Actor, *, user_id: int, current: str, new: str, keep_session_id: str | None
) -> None:
    """Change the user's own password and end all of the user's sessions except the one to keep.

    Raises Invalid if the new password breaks a rule, and Invalid (`wrong_password`) if `current` is wrong.
    The caller must count the latter as a failed attempt.
    """
    require(actor, Permission.IDENTITY)
    user = session.exec(
        select(UserAccount).where(UserAccount.user_id == user_id).with_for_update()
    ).one_or_none()
    if user is None:
        raise NotFound("user_not_found")
    account = as_account(user)
    checked = check_new_password(account, current=current, new=new)
    if not passwords.matches(current, user.password_hash):
        raise Invalid("current", "wrong_password", code="wrong_password")
    user.password_hash = passwords.hash_password(checked)
    user.must_change_password = False
    session.flush()
    revoke_sessions(session, user_id, keep_session_id=keep_session_id)
    audit.record(session, account.actor, "user.password_changed", account.public_id)

"""Who is asking: signing in, proving it with each request, signing out.

A token only names a session; whether that is still good, and what its user may do, is read from
the rows at each request, so that a sign-out, a disabled user or a changed role counts at once.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session, col, select, tuple_, update

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission, Role
from billing_app.errors import Forbidden, Invalid, NotFound, Unauthenticated
from billing_app.models import UserAccount, UserSession
from billing_app.services.identity import passwords, session_tokens
from billing_app.services.identity.sign_in_attempts import Attempt, typed_email
from billing_app.services.identity.users import UserRow, UserStatus, as_row, revoke_sessions
from billing_app.services.shared import audit
from billing_app.services.shared.ids import find_number, public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require

SESSION_LIFETIME = timedelta(hours=12)
_CLIENT_TEXT_MAX = 300


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The proof of a sign-in, to be sent with each request, and for how long it is good."""

    token: str = field(repr=False)
    expires_in_seconds: int
    user: UserRow


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Who a token belongs to at this moment.

    `user.must_change_password` is for `identity.actor_of` to act on: it takes no permission away here.
    """

    actor: Actor
    user: UserRow
    session_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A sign-in that is still good."""

    session_id: str
    created_at: datetime
    expires_at: datetime
    user_agent: str
    address: str


def sign_in(
    session: Session,
    actor: Actor,
    *,
    email: str,
    password: str,
    secret: str,
    user_agent: str = "",
    address: str = "",
) -> SignedIn:
    """Starts a session for who knows the password of an active user.

    Everybody else gets the same answer in the same time: Unauthenticated, `invalid_credentials`.
    How often this may be tried is for the caller to ask `attempts` before.
    """
    require(actor, Permission.IDENTITY)
    found = _find(session, email)
    user = found if found and found.status == UserStatus.ACTIVE else None
    known = passwords.matches(password, user.password_hash if user else None)
    if user is None or not known or not _mark_signed_in(session, user):
        raise Unauthenticated("invalid_credentials")
    row = as_row(user)
    started = UserSession(
        session_id=secrets.token_urlsafe(24),
        user_id=row.user_id,
        created_at=now(session),
        expires_at=now(session) + SESSION_LIFETIME,
        user_agent=_client_text(user_agent),
        address=_client_text(address),
    )
    session.add(started)
    audit.record(session, actor_of(row), "user.signed_in", row.public_id, address=started.address)
    session.flush()
    claims = session_tokens.Claims(row.public_id, started.session_id, started.created_at, started.expires_at)
    token = session_tokens.encode(claims, secret)
    return SignedIn(token, int(SESSION_LIFETIME.total_seconds()), row)


def _find(session: Session, email: object) -> UserAccount | None:
    return session.exec(select(UserAccount).where(UserAccount.email_key == typed_email(email))).one_or_none()


def record_failure(session: Session, actor: Actor, attempt: Attempt, *, action: str) -> None:
    """Audits an attempt with a wrong password, and the lock that begins with it.

    The same statements whether the account exists or not; the typed email is kept nowhere, since
    people type passwords into the wrong field.
    """
    require(actor, Permission.IDENTITY)
    user = _find(session, attempt.email)
    subject = as_row(user).public_id if user else "unknown"
    address = _client_text(attempt.address)
    audit.record(session, actor, action, subject, address=address)
    if attempt.locks_account:
        audit.record(session, actor, "user.locked_out", subject, address=address)
    if attempt.locks_address:
        audit.record(session, actor, "address.locked_out", "unknown", address=address)


def _mark_signed_in(session: Session, user: UserAccount) -> bool:
    """Whether the user is still active with the password just checked; the row is locked from here."""
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


def _client_text(value: str) -> str:
    return "".join(character for character in value if character.isprintable())[:_CLIENT_TEXT_MAX]


def authenticate(session: Session, *, token: str, secret: str) -> Authenticated:
    """Who the token belongs to now; raises Unauthenticated (`invalid_token`) unless all of it is good.

    A read: one indexed query. The role is the row's, whatever it was at the sign-in.
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
        raise session_tokens.invalid_token()
    user = as_row(found[0])
    return Authenticated(actor_of(user), user, found[1].session_id, found[1].expires_at)


def actor_of(user: UserRow) -> Actor:
    """The actor that the user is."""
    return Actor(kind="user", id=user.public_id, name=user.name, role=Role(user.role))


def sign_out(session: Session, actor: Actor, *, session_id: str) -> None:
    """Ends the session at once; one that is over or unknown stays so."""
    require(actor, Permission.IDENTITY)
    _revoke(session, "user.signed_out", session_id)


def end_session(session: Session, actor: Actor, *, user_id: int, session_id: str) -> None:
    """Ends one of the user's own sessions; raises NotFound (`session_not_found`) for any other."""
    require(actor, Permission.IDENTITY)
    _check_own(session, user_id, session_id)
    _revoke(session, "user.session_ended", session_id)


def end_other_sessions(session: Session, actor: Actor, *, user_id: int, keep_session_id: str) -> None:
    """Ends all of the user's own sessions but that one, which must be one of them (`session_not_found`)."""
    require(actor, Permission.IDENTITY)
    _check_own(session, user_id, keep_session_id)
    revoke_sessions(session, user_id, but=keep_session_id)
    user = as_row(session.get_one(UserAccount, user_id))
    audit.record(session, actor_of(user), "user.other_sessions_ended", user.public_id)


def _check_own(session: Session, user_id: int, session_id: object) -> None:
    nameable = isinstance(session_id, str) and session_id.isprintable()
    own = session.get(UserSession, session_id) if nameable else None
    if own is None or own.user_id != user_id:
        raise NotFound("session_not_found")


def _revoke(session: Session, action: str, session_id: str) -> None:
    revoked = session.execute(
        update(UserSession)
        .where(col(UserSession.session_id) == session_id, col(UserSession.revoked_at).is_(None))
        .values(revoked_at=now(session))
        .returning(col(UserSession.user_id))
    ).scalar_one_or_none()
    if revoked is not None:
        user = as_row(session.get_one(UserAccount, revoked))
        audit.record(session, actor_of(user), action, user.public_id)


def list_sessions(
    session: Session, actor: Actor, *, user_id: int, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[SessionRow]:
    """The user's own sessions that are still good, newest first, a page at a time."""
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
        SessionRow(each.session_id, each.created_at, each.expires_at, each.user_agent, each.address)
        for each in session.exec(query)
    ]
    return page_of(rows, limit, lambda row: (row.created_at, row.session_id))


def check_new_password(user: UserRow, *, current: object, new: object) -> str:
    """The new password, by the rules and not the one typed as the present one. Raises Invalid.

    Asks nothing of the present password, so it may be asked as often as one likes.
    """
    checked = passwords.check_rules("new", new, about=(user.email, user.name))
    if checked == current:
        raise Invalid("new", "password_unchanged", code="password_unchanged")
    return checked


def change_password(
    session: Session, actor: Actor, *, user_id: int, current: str, new: str, keep_session_id: str | None
) -> None:
    """Sets the user's own password and ends all of the user's sessions but the one to keep.

    Raises Invalid: by the rules for the new one, then `wrong_password` when `current` is not it,
    which is for the caller to count.
    """
    require(actor, Permission.IDENTITY)
    user = session.exec(
        select(UserAccount).where(UserAccount.user_id == user_id).with_for_update()
    ).one_or_none()
    if user is None:
        raise NotFound("user_not_found")
    row = as_row(user)
    checked = check_new_password(row, current=current, new=new)
    if not passwords.matches(current, user.password_hash):
        raise Invalid("current", "wrong_password", code="wrong_password")
    user.password_hash = passwords.hash_password(checked)
    user.must_change_password = False
    session.flush()
    revoke_sessions(session, user_id, but=keep_session_id)
    audit.record(session, actor_of(row), "user.password_changed", row.public_id)

"""Managing users: inviting, changing, disabling and unlocking them, and replacing lost passwords."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, func, text
from sqlmodel import Session, col, or_, select, tuple_

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission, Role
from billing_app.errors import Conflict, NotFound
from billing_app.models import SignInAttempt, UserAccount
from billing_app.services.identity import passwords
from billing_app.services.identity.queries import as_account, find_user, revoke_sessions
from billing_app.services.identity.rows import NewUser, UserRow, UserStatus
from billing_app.services.identity.sign_in_attempts import unlock_account
from billing_app.services.shared import audit, validation
from billing_app.services.shared.constraints import refused_as
from billing_app.services.shared.emails import email_key
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_sorted, page_of
from billing_app.services.shared.permissions import require


class UserSort(StrEnum):
    """The orders of a list of users. A leading minus means descending."""

    NAME = "name"
    NAME_DOWN = "-name"
    ROLE = "role"
    ROLE_DOWN = "-role"
    SIGNED_IN = "signed_in"
    SIGNED_IN_DOWN = "-signed_in"


_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
# Each order's key and its type in a cursor.
_ORDERS: dict[str, tuple[Any, type[str | datetime]]] = {
    "name": (func.lower(UserAccount.name), str),
    "role": (col(UserAccount.role), str),
    "signed_in": (func.coalesce(UserAccount.last_sign_in_at, _NEVER), datetime),
}


def create_user(
    session: Session, actor: Actor, *, email: str, name: str, role: str, password: str | None = None
) -> NewUser:
    """Create a user with an email address that no other user has.

    Without a password, a one-time password is created, to be changed at the first sign-in.
    Raises Invalid, and Conflict (`email_taken`).
    """
    require(actor, Permission.ADMINISTER)
    email = validation.email("email", email)
    name = validation.line("name", name, at_most=validation.NAME_MAX)
    role = validation.choice("role", role, Role)
    one_time = passwords.one_time_password() if password is None else None
    new_password = one_time or passwords.check_rules("password", password, account_words=(email, name))
    user = UserAccount(
        email=email,
        email_key=email_key(email),
        name=name,
        role=role,
        password_hash=passwords.hash_password(new_password),
        must_change_password=one_time is not None,
        created_at=now(session),
    )
    with refused_as(uq_user_account_email=Conflict("email_taken", email=email)):
        session.add(user)
        session.flush()
    created = _read(session, user)
    audit.record(session, actor, "user.created", created.public_id, email=created.email, role=created.role)
    return NewUser(created, one_time)


def create_first_admin(session: Session, actor: Actor, email: str, password: str) -> UserRow | None:
    """Create the first admin if there is no user yet. Concurrent calls create only one.

    Raises Invalid.
    """
    require(actor, Permission.ADMINISTER)
    session.execute(text("LOCK TABLE user_account IN SHARE ROW EXCLUSIVE MODE"))
    if session.exec(select(UserAccount.user_id).limit(1)).first() is not None:
        return None
    created = create_user(
        session, actor, email=email, name="Administrator", role=Role.ADMIN, password=password
    )
    return created.user


def update_user(
    session: Session,
    actor: Actor,
    user_id: int,
    *,
    name: str | None = None,
    role: str | None = None,
    status: str | None = None,
    version: int | None = None,
) -> UserRow:
    """Change a user. Disabling one ends all of their sessions at once.

    At least one active admin remains (Conflict `last_admin`). Raises Invalid, NotFound
    (`user_not_found`), and Conflict (`stale`).
    """
    require(actor, Permission.ADMINISTER)
    user, admin_ids = _lock_with_admins(session, user_id)
    validation.refuse_stale(version, user.version, name=user.name, role=user.role, status=user.status)
    changes: dict[str, str] = {}
    if name is not None:
        changes["name"] = validation.line("name", name, at_most=validation.NAME_MAX)
    if role is not None:
        changes["role"] = validation.choice("role", role, Role)
    if status is not None:
        changes["status"] = validation.choice("status", status, UserStatus)
    changes = {column: value for column, value in changes.items() if getattr(user, column) != value}
    if not changes:
        return _read(session, user)
    if admin_ids == {user.user_id} and ("role" in changes or "status" in changes):
        raise Conflict("last_admin")
    for column, value in changes.items():
        setattr(user, column, value)
    user.version += 1
    session.flush()
    if changes.get("status") == UserStatus.DISABLED:
        revoke_sessions(session, user_id)
    audit.record(session, actor, "user.changed", as_account(user).public_id, **changes)
    return _read(session, user)


def _lock_with_admins(session: Session, user_id: int) -> tuple[UserAccount, set[int | None]]:
    """Lock the user and all active admins, and return the user and the admins' IDs."""
    is_admin = (col(UserAccount.role) == Role.ADMIN) & (col(UserAccount.status) == UserStatus.ACTIVE)
    locked = session.exec(
        select(UserAccount)
        .where(or_(col(UserAccount.user_id) == validation.number("user", user_id), is_admin))
        .order_by(col(UserAccount.user_id))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    user = next((each for each in locked if each.user_id == user_id), None)
    if user is None:
        raise NotFound("user_not_found", named=user_id)
    return user, {
        each.user_id for each in locked if each.role == Role.ADMIN and each.status == UserStatus.ACTIVE
    }


def reset_password(session: Session, actor: Actor, user_id: int) -> NewUser:
    """Replace another user's password with a one-time password, and end all of their sessions.

    Raises NotFound (`user_not_found`), and Conflict (`own_password`) for the actor's own password, because
    changing that requires the current one.
    """
    require(actor, Permission.ADMINISTER)
    one_time = passwords.one_time_password()
    # Hashed before the row is locked, because it takes a quarter of a second.
    hashed = passwords.hash_password(one_time)
    user = session.exec(
        select(UserAccount)
        .where(col(UserAccount.user_id) == validation.number("user", user_id))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if user is None:
        raise NotFound("user_not_found", named=user_id)
    user_actor_id = as_account(user).public_id
    if actor.id == user_actor_id:
        raise Conflict("own_password")
    user.password_hash = hashed
    user.must_change_password = True
    session.flush()
    revoke_sessions(session, user_id)
    audit.record(session, actor, "user.password_reset", user_actor_id)
    return NewUser(_read(session, user), one_time)


def unlock_user(session: Session, actor: Actor, user_id: int) -> UserRow:
    """End every lock of the user after failed sign-ins. Raises NotFound (`user_not_found`)."""
    require(actor, Permission.ADMINISTER)
    user = _get(session, user_id)
    if unlock_account(session, actor, user.email_key):
        audit.record(session, actor, "user.unlocked", as_account(user).public_id)
    return _read(session, user)


def end_sessions(session: Session, actor: Actor, user_id: int) -> None:
    """End all sessions of the user at once. Raises NotFound (`user_not_found`)."""
    require(actor, Permission.ADMINISTER)
    user = _get(session, user_id)
    revoke_sessions(session, user_id)
    audit.record(session, actor, "user.sessions_ended", as_account(user).public_id)


def get_user(session: Session, actor: Actor, user_id: int) -> UserRow:
    """Return one user. Raises NotFound (`user_not_found`)."""
    require(actor, Permission.ADMINISTER)
    return _read(session, _get(session, user_id))


def get_user_by_email(session: Session, actor: Actor, email: str) -> UserRow:
    """Return the user with this email address, in any spelling. Raises NotFound (`user_not_found`)."""
    require(actor, Permission.ADMINISTER)
    user = find_user(session, email_key(email))
    if user is None:
        raise NotFound("user_not_found", named=email)
    return _read(session, user)


def list_users(
    session: Session,
    actor: Actor,
    *,
    search: str | None = None,
    role: str | None = None,
    status: str | None = None,
    sort: str = UserSort.NAME,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[UserRow]:
    """List users. `search` matches part of the name or email, ignoring case.

    In the order of the last sign-in, users who have never signed in precede all others. A cursor is only
    valid for the order that it came from. Raises Invalid.
    """
    require(actor, Permission.ADMINISTER)
    sorting = validation.choice("sort", sort, UserSort)
    key, key_type = _ORDERS[sorting.removeprefix("-")]
    is_descending = sorting.startswith("-")
    order = [key, col(UserAccount.user_id)]
    query = select(UserAccount, key, _locked_until(session)).order_by(
        *(each.desc() if is_descending else each for each in order)
    )
    query = query.where(*_conditions(search, role, status)).limit(check_limit(limit) + 1)
    after = decode_sorted(cursor, sorting, key_type, int)
    if after:
        query = query.where(
            tuple_(*order) < tuple_(*after) if is_descending else tuple_(*order) > tuple_(*after)
        )
    found = session.exec(query).all()
    page = page_of(found, limit, lambda row: (sorting, row[1], row[0].user_id or 0))
    return Page(tuple(_as_row(user, locked) for user, _, locked in page.items), page.next_cursor)


def _conditions(search: str | None, role: str | None, status: str | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if search:
        wanted = validation.line("search", search, at_most=validation.NAME_MAX, required=False)
        columns = (col(UserAccount.name), col(UserAccount.email))
        conditions.append(or_(*(column.icontains(wanted, autoescape=True) for column in columns)))
    if role:
        conditions.append(col(UserAccount.role) == validation.choice("role", role, Role))
    if status:
        conditions.append(col(UserAccount.status) == validation.choice("status", status, UserStatus))
    return conditions


def _get(session: Session, user_id: int) -> UserAccount:
    user = session.get(UserAccount, validation.number("user", user_id))
    if user is None:
        raise NotFound("user_not_found", named=user_id)
    return user


def _locked_until(session: Session) -> ScalarSelect[datetime | None]:
    """Return the SQL expression for when the user's longest lock ends."""
    account = func.encode(func.sha256(func.convert_to(UserAccount.email_key, "UTF8")), "hex")
    return (
        select(func.max(SignInAttempt.locked_until))
        .where(col(SignInAttempt.account) == account, col(SignInAttempt.locked_until) > now(session))
        .correlate(UserAccount)
        .scalar_subquery()
    )


def _read(session: Session, user: UserAccount) -> UserRow:
    query = select(_locked_until(session)).select_from(UserAccount).where(UserAccount.user_id == user.user_id)
    return _as_row(user, session.scalar(query))


def _as_row(user: UserAccount, locked_until: datetime | None) -> UserRow:
    assert user.user_id is not None
    return UserRow(
        user_id=user.user_id,
        email=user.email,
        name=user.name,
        role=Role(user.role),
        status=UserStatus(user.status),
        must_change_password=user.must_change_password,
        created_at=user.created_at,
        last_sign_in_at=user.last_sign_in_at,
        locked_until=locked_until,
        version=user.version,
    )

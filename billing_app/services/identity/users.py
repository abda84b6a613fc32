"""The people who may sign in, and their roles."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import func, text
from sqlmodel import Session, col, or_, select, tuple_, update

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission, Role
from billing_app.errors import Conflict, NotFound
from billing_app.models import UserAccount, UserSession
from billing_app.services.identity import passwords
from billing_app.services.shared import audit, validation
from billing_app.services.shared.constraints import refused_as
from billing_app.services.shared.emails import email_key
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_sorted, page_of
from billing_app.services.shared.permissions import require


class UserStatus(StrEnum):
    """A user is disabled rather than deleted."""

    ACTIVE = "active"
    DISABLED = "disabled"


class UserSort(StrEnum):
    """What users are listed by; with a minus the other way round."""

    NAME = "name"
    NAME_DOWN = "-name"
    ROLE = "role"
    ROLE_DOWN = "-role"
    SIGNED_IN = "signed_in"
    SIGNED_IN_DOWN = "-signed_in"


_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
# Each order's key, and the type of that in a cursor.
_ORDERS: dict[str, tuple[Any, type[str | datetime]]] = {
    "name": (func.lower(UserAccount.name), str),
    "role": (col(UserAccount.role), str),
    "signed_in": (func.coalesce(UserAccount.last_sign_in_at, _NEVER), datetime),
}


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user, without the password's hash."""

    user_id: int
    email: str
    name: str
    role: Role
    status: UserStatus
    must_change_password: bool
    created_at: datetime
    last_sign_in_at: datetime | None
    version: int

    @property
    def public_id(self) -> str:
        """`usr_4`, also the id of the actor that the user is."""
        return public_id("usr", self.user_id)


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user and, if one was just made, the one-time password: it is nowhere else and can't be had again."""

    user: UserRow
    one_time_password: str | None = field(repr=False)


def create_user(
    session: Session, actor: Actor, *, email: str, name: str, role: str, password: str | None = None
) -> NewUser:
    """Makes a user whose email nobody else has, whatever its case (Conflict `email_taken`).

    Without a password a one-time password is made, to be changed at the first sign-in.
    """
    require(actor, Permission.ADMINISTER)
    email = validation.email("email", email)
    name = validation.line("name", name, at_most=validation.NAME_MAX)
    role = validation.choice("role", role, Role)
    one_time = passwords.one_time_password() if password is None else None
    chosen = one_time or passwords.check_rules("password", password, about=(email, name))
    user = UserAccount(
        email=email,
        email_key=email_key(email),
        name=name,
        role=role,
        password_hash=passwords.hash_password(chosen),
        must_change_password=one_time is not None,
        created_at=now(session),
    )
    taken = Conflict("email_taken", email=user.email)
    with refused_as(uq_user_account_email=taken):
        session.add(user)
        session.flush()
    made = as_row(user)
    audit.record(session, actor, "user.created", made.public_id, email=made.email, role=made.role)
    return NewUser(made, one_time)


def make_first_admin(session: Session, actor: Actor, email: str, password: str) -> UserRow | None:
    """Makes the first admin when there is no user at all, else nothing; two at once make one."""
    require(actor, Permission.ADMINISTER)
    session.execute(text("LOCK TABLE user_account IN SHARE ROW EXCLUSIVE MODE"))
    if session.exec(select(UserAccount.user_id).limit(1)).first() is not None:
        return None
    made = create_user(session, actor, email=email, name="Administrator", role=Role.ADMIN, password=password)
    return made.user


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
    """Changes a user; there is an active admin at every moment (Conflict `last_admin`).

    A disabled user's sessions end at once. Raises NotFound `user_not_found`, Conflict `stale`.
    """
    require(actor, Permission.ADMINISTER)
    user, admins = _lock_with_admins(session, user_id)
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
        return as_row(user)
    if admins == {user.user_id} and ("role" in changes or "status" in changes):
        raise Conflict("last_admin")
    for column, value in changes.items():
        setattr(user, column, value)
    user.version += 1
    session.flush()
    if changes.get("status") == UserStatus.DISABLED:
        revoke_sessions(session, user_id)
    changed = as_row(user)
    audit.record(session, actor, "user.changed", changed.public_id, **changes)
    return changed


def _lock_with_admins(session: Session, user_id: int) -> tuple[UserAccount, set[int | None]]:
    """The user, and the ids of the active admins: none of them changes before this ends."""
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
        raise _not_found(user_id)
    return user, {
        each.user_id for each in locked if each.role == Role.ADMIN and each.status == UserStatus.ACTIVE
    }


def reset_password(session: Session, actor: Actor, user_id: int) -> NewUser:
    """Puts a one-time password in place of somebody else's password, and signs them out everywhere.

    For who has forgotten theirs. Raises NotFound `user_not_found`, and Conflict `own_password`: who
    is signed in proves the present password to get a new one.
    """
    require(actor, Permission.ADMINISTER)
    one_time = passwords.one_time_password()
    # Hashed before the row is locked: it takes a quarter of a second.
    hashed = passwords.hash_password(one_time)
    user = session.exec(
        select(UserAccount)
        .where(col(UserAccount.user_id) == validation.number("user", user_id))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if user is None:
        raise _not_found(user_id)
    if actor.id == as_row(user).public_id:
        raise Conflict("own_password")
    user.password_hash = hashed
    user.must_change_password = True
    session.flush()
    revoke_sessions(session, user_id)
    changed = as_row(user)
    audit.record(session, actor, "user.password_reset", changed.public_id)
    return NewUser(changed, one_time)


def end_sessions(session: Session, actor: Actor, user_id: int) -> None:
    """Signs the user out everywhere at once. Raises NotFound `user_not_found`."""
    user = get_user(session, actor, user_id)
    revoke_sessions(session, user_id)
    audit.record(session, actor, "user.sessions_ended", user.public_id)


def revoke_sessions(session: Session, user_id: int, *, but: str | None = None) -> None:
    """Revokes all sessions of the user, but the one named. For services that asked for permission."""
    session.execute(
        update(UserSession)
        .where(col(UserSession.user_id) == user_id, col(UserSession.revoked_at).is_(None))
        .where(col(UserSession.session_id).is_distinct_from(but))
        .values(revoked_at=now(session))
    )


def get_user(session: Session, actor: Actor, user_id: int) -> UserRow:
    """One user; raises NotFound `user_not_found`."""
    require(actor, Permission.ADMINISTER)
    user = session.get(UserAccount, validation.number("user", user_id))
    if user is None:
        raise _not_found(user_id)
    return as_row(user)


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
    """The users in an order, a page at a time; `search` is looked for in name and email, whatever its case.

    Who never signed in comes before all who did. A cursor is good for its own order.
    """
    require(actor, Permission.ADMINISTER)
    sorting = validation.choice("sort", sort, UserSort)
    key, kind = _ORDERS[sorting.removeprefix("-")]
    is_down = sorting.startswith("-")
    order = [key, col(UserAccount.user_id)]
    query = select(UserAccount, key).order_by(*(each.desc() if is_down else each for each in order))
    query = query.limit(check_limit(limit) + 1)
    if search:
        wanted = validation.line("search", search, at_most=validation.NAME_MAX, required=False)
        query = query.where(
            or_(
                col(UserAccount.name).icontains(wanted, autoescape=True),
                col(UserAccount.email).icontains(wanted, autoescape=True),
            )
        )
    if role:
        query = query.where(col(UserAccount.role) == validation.choice("role", role, Role))
    if status:
        query = query.where(col(UserAccount.status) == validation.choice("status", status, UserStatus))
    after = decode_sorted(cursor, sorting, kind, int)
    if after:
        query = query.where(tuple_(*order) < tuple_(*after) if is_down else tuple_(*order) > tuple_(*after))
    found = session.exec(query).all()
    page = page_of(found, limit, lambda row: (sorting, row[1], row[0].user_id or 0))
    return Page(tuple(as_row(user) for user, _ in page.items), page.next_cursor)


def as_row(user: UserAccount) -> UserRow:
    """What may be shown of the account."""
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
        version=user.version,
    )


def _not_found(user_id: object) -> NotFound:
    return NotFound("user_not_found", named=user_id)

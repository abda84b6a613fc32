"""Credentials of machines: shown once, kept as a hash, good until revoked."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session, col, select, tuple_, update

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission, Scope
from billing_app.errors import Invalid, NotFound, Unauthenticated
from billing_app.models import ApiToken
from billing_app.services.identity.session_tokens import invalid_token
from billing_app.services.shared import audit, validation
from billing_app.services.shared.ids import find_number, get_number, public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require

# Tells one from a session's token, and tells scanners of code and logs what they have found.
PREFIX = "tbk_"
_RANDOM_BYTES = 32
_CHARACTERS_MAX = 100
_MARKED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token without itself. `created_by` is a user's id, None when the system made it."""

    token_id: int
    name: str
    scopes: tuple[Scope, ...]
    created_by: str | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def public_id(self) -> str:
        """`tok_2`, also the id of the actor that the token is."""
        return public_id("tok", self.token_id)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made; `token` is nowhere else and can't be had again."""

    row: TokenRow
    token: str = field(repr=False)


def create_token(session: Session, actor: Actor, *, name: str, scopes: object) -> NewToken:
    """Makes a token that can do what its scopes say, whatever becomes of who made it."""
    require(actor, Permission.ADMINISTER)
    token = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    made = ApiToken(
        name=validation.line("name", name, at_most=validation.NAME_MAX),
        scopes=_check_scopes(scopes),
        token_sha256=_sha256(token),
        created_by=find_number("usr", actor.id) if actor.kind == "user" else None,
        created_at=now(session),
    )
    session.add(made)
    session.flush()
    row = _as_row(made)
    audit.record(session, actor, "token.created", row.public_id, name=row.name, scopes=" ".join(row.scopes))
    return NewToken(row, token)


def _check_scopes(scopes: object) -> list[str]:
    if not isinstance(scopes, (list, tuple)) or not scopes:
        raise Invalid("scopes", "no_scope")
    chosen: list[str] = [validation.choice("scopes", each, Scope) for each in scopes]
    if len(set(chosen)) != len(chosen):
        raise Invalid("scopes", "repeated")
    return chosen


def list_tokens(
    session: Session, actor: Actor, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[TokenRow]:
    """The tokens, newest first, revoked ones too, a page at a time."""
    require(actor, Permission.ADMINISTER)
    newest_first = col(ApiToken.created_at).desc(), col(ApiToken.token_id).desc()
    query = select(ApiToken).order_by(*newest_first).limit(check_limit(limit) + 1)
    after = decode_cursor(cursor, datetime, int)
    if after:
        query = query.where(tuple_(col(ApiToken.created_at), col(ApiToken.token_id)) < tuple_(*after))
    rows = [_as_row(token) for token in session.exec(query)]
    return page_of(rows, limit, lambda row: (row.created_at, row.token_id))


def get_token(session: Session, actor: Actor, token: str) -> TokenRow:
    """One token, named by its id `tok_2`; raises NotFound (`token_not_found`)."""
    require(actor, Permission.ADMINISTER)
    found = session.get(ApiToken, get_number("tok", token, "token"))
    if found is None:
        raise _not_found(token)
    return _as_row(found)


def revoke_token(session: Session, actor: Actor, token: str) -> None:
    """Ends a token, named by its id `tok_2`, at once; again changes nothing.

    Raises NotFound (`token_not_found`).
    """
    require(actor, Permission.ADMINISTER)
    token_id = get_number("tok", token, "token")
    revoked = session.execute(
        update(ApiToken)
        .where(col(ApiToken.token_id) == token_id, col(ApiToken.revoked_at).is_(None))
        .values(revoked_at=now(session))
        .returning(col(ApiToken.name))
    ).scalar_one_or_none()
    if revoked is not None:
        audit.record(session, actor, "token.revoked", token, name=revoked)
    elif session.get(ApiToken, token_id) is None:
        raise _not_found(token)


@dataclass(frozen=True, slots=True)
class Machine:
    """Who an API token stands for, and whether its use is to be marked by `mark_used`."""

    actor: Actor
    is_due: bool


def find_machines(session: Session, tokens: Sequence[str]) -> list[Machine | Unauthenticated]:
    """Who each token stands for now, or its refusal (`invalid_token`). A read: one indexed query."""
    hashes = [_sha256(token) if _can_be(token) else "" for token in tokens]
    # By the driver: asked with every request, and the rest of it costs several times as much.
    with driver_cursor(session) as db:
        rows = db.execute(_FIND, [list(set(hashes))]).fetchall()
    before = now(session) - _MARKED_EVERY
    found = {row[0]: _machine(before, *row[1:]) for row in rows}
    return [found.get(each) or invalid_token() for each in hashes]


def _can_be(token: str) -> bool:
    return token.startswith(PREFIX) and len(token) <= _CHARACTERS_MAX and token.isascii()


def _machine(
    before: datetime, token_id: int, name: str, scopes: list[str], last_used_at: datetime | None
) -> Machine:
    actor = Actor("token", public_id("tok", token_id), name, scopes=frozenset(map(Scope, scopes)))
    return Machine(actor, is_due=last_used_at is None or last_used_at <= before)


_FIND = """
    SELECT token_sha256, token_id, name, scopes, last_used_at FROM api_token
     WHERE token_sha256 = ANY(%s) AND revoked_at IS NULL
"""


_MARK = text("""
    UPDATE api_token SET last_used_at = :now WHERE token_id = (
        SELECT token_id FROM api_token
        WHERE token_id = :token_id AND (last_used_at IS NULL OR last_used_at <= :before)
        FOR UPDATE SKIP LOCKED)
""")


def mark_used(session: Session, actor: Actor, token: str) -> None:
    """Notes that the token, named by its id, is in use; once a minute, and waiting for nobody."""
    require(actor, Permission.IDENTITY)
    # The one write of the product that may be lost in a crash.
    session.execute(text("SET LOCAL synchronous_commit = off"))
    moment = now(session)
    token_id = get_number("tok", token, "token")
    session.execute(_MARK, {"now": moment, "token_id": token_id, "before": moment - _MARKED_EVERY})


def _sha256(token: str) -> str:
    """Not a slow hash: nobody guesses 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def _not_found(token: str) -> NotFound:
    return NotFound("token_not_found", named=token)


def _as_row(token: ApiToken) -> TokenRow:
    assert token.token_id is not None
    return TokenRow(
        token_id=token.token_id,
        name=token.name,
        scopes=tuple(Scope(scope) for scope in token.scopes),
        created_by=public_id("usr", token.created_by) if token.created_by else None,
        created_at=token.created_at,
        last_used_at=token.last_used_at,
        revoked_at=token.revoked_at,
    )

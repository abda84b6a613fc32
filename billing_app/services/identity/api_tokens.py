"""API tokens: credentials for programs. They are shown once, stored as a hash, and valid until revoked."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session, col, select, tuple_, update

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission, Scope
from billing_app.errors import Invalid, NotFound
from billing_app.models import ApiToken
from billing_app.services.identity.queries import TOKEN_USE_NOTED_EVERY
from billing_app.services.identity.rows import NewToken, TokenRow
from billing_app.services.identity.token_form import hash_token, new_secret
from billing_app.services.shared import audit, validation
from billing_app.services.shared.ids import find_number, get_number, public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require


def create_token(session: Session, actor: Actor, *, name: str, scopes: object) -> NewToken:
    """Create an API token. It stays valid until it is revoked, even after its creator is disabled.

    Raises Invalid.
    """
    require(actor, Permission.ADMINISTER)
    secret = new_secret()
    token = ApiToken(
        name=validation.line("name", name, at_most=validation.NAME_MAX),
        scopes=_parse_scopes(scopes),
        token_sha256=hash_token(secret),
        created_by=find_number("usr", actor.id) if actor.kind == "user" else None,
        created_at=now(session),
    )
    session.add(token)
    session.flush()
    row = _as_row(token)
    audit.record(session, actor, "token.created", row.public_id, name=row.name, scopes=" ".join(row.scopes))
    return NewToken(row, secret)


def _parse_scopes(scopes: object) -> list[str]:
    if not isinstance(scopes, (list, tuple)) or not scopes:
        raise Invalid("scopes", "no_scope")
    parsed: list[str] = [validation.choice("scopes", each, Scope) for each in scopes]
    if len(set(parsed)) != len(parsed):
        raise Invalid("scopes", "repeated")
    return parsed


def list_tokens(
    session: Session, actor: Actor, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[TokenRow]:
    """List API tokens, including revoked ones, newest first."""
    require(actor, Permission.ADMINISTER)
    newest_first = col(ApiToken.created_at).desc(), col(ApiToken.token_id).desc()
    query = select(ApiToken).order_by(*newest_first).limit(check_limit(limit) + 1)
    after = decode_cursor(cursor, datetime, int)
    if after:
        query = query.where(tuple_(col(ApiToken.created_at), col(ApiToken.token_id)) < tuple_(*after))
    rows = [_as_row(token) for token in session.exec(query)]
    return page_of(rows, limit, lambda row: (row.created_at, row.token_id))


def get_token(session: Session, actor: Actor, token: str) -> TokenRow:
    """Return the API token with the ID `tok_2`. Raises NotFound (`token_not_found`)."""
    require(actor, Permission.ADMINISTER)
    found = session.get(ApiToken, get_number("tok", token, "token"))
    if found is None:
        raise _not_found(token)
    return _as_row(found)


def revoke_token(session: Session, actor: Actor, token: str) -> None:
    """Revoke the API token with the ID `tok_2` at once. Revoking it again changes nothing.

    Raises NotFound (`token_not_found`).
    """
    require(actor, Permission.ADMINISTER)
    token_id = get_number("tok", token, "token")
    revoked_name = session.execute(
        update(ApiToken)
        .where(col(ApiToken.token_id) == token_id, col(ApiToken.revoked_at).is_(None))
        .values(revoked_at=now(session))
        .returning(col(ApiToken.name))
    ).scalar_one_or_none()
    if revoked_name is not None:
        audit.record(session, actor, "token.revoked", token, name=revoked_name)
    elif session.get(ApiToken, token_id) is None:
        raise _not_found(token)


_NOTE_USE = text("""
    UPDATE api_token SET last_used_at = :now WHERE token_id = (
        SELECT token_id FROM api_token
        WHERE token_id = :token_id AND (last_used_at IS NULL OR last_used_at <= :before)
        FOR UPDATE SKIP LOCKED)
""")


def note_use(session: Session, actor: Actor, token: str) -> None:
    """Update the last use of the API token with the ID `tok_2`, at most once a minute and without waiting."""
    require(actor, Permission.IDENTITY)
    # This is the only write that may be lost in a crash.
    session.execute(text("SET LOCAL synchronous_commit = off"))
    moment = now(session)
    token_id = get_number("tok", token, "token")
    session.execute(
        _NOTE_USE, {"now": moment, "token_id": token_id, "before": moment - TOKEN_USE_NOTED_EVERY}
    )


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

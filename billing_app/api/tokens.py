"""Credentials of machines."""

from __future__ import annotations

from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Timestamp
from billing_app.domain.actor import Permission, Scope
from billing_app.services.identity import api_tokens
from billing_app.services.identity.api_tokens import NewToken, TokenRow

router = resource("/tokens", "API tokens")


class ApiToken(BaseModel):
    """A machine's credential, without itself."""

    id: str = Field(examples=["tok_2"])
    name: str = Field(examples=["Meter 7"])
    scopes: list[Scope]
    created_by: str | None = Field(description="A user; null: the system.", examples=["usr_4"])
    created_at: Timestamp
    last_used_at: Timestamp | None = Field(description="To the minute; null: never.")
    revoked_at: Timestamp | None = Field(description="Null while it is good.")


class ApiTokenMade(ApiToken):
    """The token just made."""

    token: str | None = Field(
        description="Send it as `Authorization: Bearer`. It is shown only once; null in a repeated answer.",
        examples=["tbk_6d1f0c"],
    )


class NewApiToken(Body):
    """A token to be made, for one machine, and what it may do."""

    name: str = Field(examples=["Meter 7"])
    scopes: list[Scope] = Field(
        min_length=1,
        max_length=len(Scope),
        json_schema_extra={"uniqueItems": True},
        description="`usage:write` records usage and does nothing else; `read` reads what finance reads.",
    )


@router.get("")
def list_tokens(call: Caller, paged: Paged) -> Page[ApiToken]:
    """List tokens, revoked ones too, the newest first."""
    return page_of(call.do(api_tokens.list_tokens, **paged), token_of)


@router.post("", status_code=201, responses=refusals("invalid", "idempotency_conflict"))
def create_token(once: OnceOnly, body: NewApiToken) -> ApiTokenMade:
    """Create an API token.

    The secret is in this answer and is never stored. A retry with the same `Idempotency-Key` returns the
    token without its secret: revoke it and create another one.
    """

    def describe(created: NewToken) -> Created[ApiTokenMade]:
        shown = ApiTokenMade(**dict(token_of(created.row)), token=created.token)
        return Created(shown, secrets=("token",))

    return once.create(
        Permission.ADMINISTER,
        ApiTokenMade,
        describe,
        api_tokens.create_token,
        name=body.name,
        scopes=body.scopes,
    )


@router.delete("/{token}", status_code=204, responses=refusals("token_not_found"))
def revoke_token(call: Caller, token: str) -> None:
    """Revoke a token, named by its id, at once and for good; again changes nothing."""
    call.do(api_tokens.revoke_token, token)


def token_of(row: TokenRow) -> ApiToken:
    """The token as it goes out."""
    return ApiToken(
        id=row.public_id,
        name=row.name,
        scopes=list(row.scopes),
        created_by=row.created_by,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )

"""API tokens: credentials for programs."""

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
from billing_app.services.identity.rows import NewToken, TokenRow

router = resource("/tokens", "API tokens")


class ApiToken(BaseModel):
    """An API token without its secret."""

    id: str = Field(examples=["tok_2"])
    name: str = Field(examples=["Meter 7"])
    scopes: list[Scope]
    created_by: str | None = Field(
        description="The ID of the user who created it; null when the command line did.", examples=["usr_4"]
    )
    created_at: Timestamp
    last_used_at: Timestamp | None = Field(
        description="To the minute. Null if the token has never been used."
    )
    revoked_at: Timestamp | None = Field(description="Null while the token is valid.")


class ApiTokenWithSecret(ApiToken):
    """An API token that was just created."""

    token: str | None = Field(
        description="Send it as `Authorization: Bearer`. It is shown only once; null in the response to a retry.",
        examples=["tbk_6d1f0c"],
    )


class NewApiToken(Body):
    """A new API token. Create one for each program, with only the scopes that it needs."""

    name: str = Field(examples=["Meter 7"])
    scopes: list[Scope] = Field(
        min_length=1,
        max_length=len(Scope),
        json_schema_extra={"uniqueItems": True},
        description="`usage:write` can record and import usage, and nothing else. `usage:correct` can"
        " correct usage, and nothing else. `read` can read what the finance role can.",
    )


@router.get("")
def list_tokens(call: Caller, paged: Paged) -> Page[ApiToken]:
    """List API tokens, including revoked ones, newest first."""
    return page_of(call.do(api_tokens.list_tokens, **paged), _as_token)


@router.post("", status_code=201, responses=refusals("invalid", "idempotency_conflict"))
def create_token(once: OnceOnly, body: NewApiToken) -> ApiTokenWithSecret:
    """Create an API token.

    The secret is in this response only and is never stored. A retry with the same `Idempotency-Key`
    returns the token without its secret. In that case, revoke it and create another one.
    """

    def describe(created: NewToken) -> Created[ApiTokenWithSecret]:
        shown = ApiTokenWithSecret(**dict(_as_token(created.row)), token=created.token)
        return Created(shown, secrets=("token",))

    return once.create(
        Permission.ADMINISTER,
        ApiTokenWithSecret,
        describe,
        api_tokens.create_token,
        name=body.name,
        scopes=body.scopes,
    )


@router.delete("/{token}", status_code=204, responses=refusals("token_not_found"))
def revoke_token(call: Caller, token: str) -> None:
    """Revoke an API token.

    It stops working at once. This can't be undone. Revoking it again changes nothing.
    """
    call.do(api_tokens.revoke_token, token)


def _as_token(row: TokenRow) -> ApiToken:
    return ApiToken(
        id=row.public_id,
        name=row.name,
        scopes=list(row.scopes),
        created_by=row.created_by,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )

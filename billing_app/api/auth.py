"""Signing in and out; one's own sessions and password."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller, Person
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import ExactRoute, resource
from billing_app.api.wire.values import Body, Timestamp
from billing_app.domain.actor import Role
from billing_app.errors import Forbidden
from billing_app.runtime import current
from billing_app.services.identity import sessions
from billing_app.web import EPOCH_COOKIE, SESSION_COOKIE, client_address, is_https, is_own_origin

signing_in = APIRouter(prefix="/auth", tags=["Authentication"], route_class=ExactRoute)
router = resource("/auth", "Authentication")


class Credentials(Body):
    """What a person signs in with."""

    email: str = Field(max_length=320, examples=["ada@example.com"])
    password: str = Field(max_length=1024, examples=["correct horse battery"])


class Token(BaseModel):
    """A bearer token, good for `expires_in` seconds or until it is revoked."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int


class Me(BaseModel):
    """Who is calling."""

    id: str = Field(examples=["usr_4"])
    email: str = Field(examples=["ada@example.com"])
    name: str = Field(examples=["Ada Admin"])
    role: Role


class OwnSession(BaseModel):
    """A sign-in that is still good. Its id is a name: it proves nothing to anybody."""

    id: str
    created_at: Timestamp
    expires_at: Timestamp
    user_agent: str
    address: str = Field(examples=["192.0.2.7"])
    current: bool = Field(description="Whether it is the one that asks.")


class PasswordChange(Body):
    """The present password, and the one to replace it."""

    current: str = Field(max_length=1024, examples=["correct horse battery"])
    new: str = Field(
        max_length=1024,
        examples=["another horse battery"],
        description="At least 12 characters, at most 72 bytes, and no likely guess.",
    )


@signing_in.post("/token", responses=refusals("invalid_credentials", "too_many_attempts"))
def make_token(credentials: Credentials, request: Request) -> Token:
    """Exchange email and password for a bearer token."""
    signed_in = _sign_in(credentials, request)
    return Token(access_token=signed_in.token, expires_in=signed_in.expires_in_seconds)


@signing_in.post(
    "/session",
    status_code=204,
    responses=refusals("invalid_credentials", "too_many_attempts", "foreign_origin"),
)
def make_session(credentials: Credentials, request: Request, response: Response) -> None:
    """Sign a browser in: the same token, in a cookie that no script can read."""
    # Or another site could sign its visitors in as somebody of its choice, and watch what they enter.
    if "origin" in request.headers and not is_own_origin(request):
        raise Forbidden("foreign_origin")
    signed_in = _sign_in(credentials, request)
    for name, value in ((SESSION_COOKIE, signed_in.token), (EPOCH_COOKIE, secrets.token_urlsafe(9))):
        response.set_cookie(
            name,
            value,
            max_age=signed_in.expires_in_seconds,
            httponly=name == SESSION_COOKIE,
            samesite="lax",
            secure=is_https(request),
            path="/",
        )


@router.delete("/session", status_code=204)
def end_session(who: Person, request: Request, response: Response) -> None:
    """Sign out: the session is revoked at once, and its token refused from then on."""
    current().authenticator.sign_out(who.session_id)
    for name in (SESSION_COOKIE, EPOCH_COOKIE):
        response.delete_cookie(
            name, httponly=name == SESSION_COOKIE, samesite="lax", secure=is_https(request), path="/"
        )


@router.get("/me")
def me(who: Person) -> Me:
    """Who the token or the cookie belongs to."""
    return Me(id=who.actor.id, email=who.user.email, name=who.user.name, role=who.user.role)


@router.get("/sessions")
def list_sessions(call: Caller, who: Person, paged: Paged) -> Page[OwnSession]:
    """List one's own sessions that are still good, the newest first."""

    def shown(row: sessions.SessionRow) -> OwnSession:
        return OwnSession(
            id=row.session_id,
            created_at=row.created_at,
            expires_at=row.expires_at,
            user_agent=row.user_agent,
            address=row.address,
            current=row.session_id == who.session_id,
        )

    return page_of(call.do(sessions.list_sessions, user_id=who.user.user_id, **paged), shown)


@router.delete("/sessions/{session}", status_code=204, responses=refusals("session_not_found"))
def end_one_session(who: Person, session: str) -> None:
    """End one of one's own sessions at once."""
    current().authenticator.end_session(who, session)


@router.post(
    "/password",
    status_code=204,
    responses=refusals(
        "wrong_password", "password_too_short", "password_too_long", "password_too_common",
        "password_unchanged", "too_many_attempts",
    ),
)  # fmt: skip
def change_password(who: Person, body: PasswordChange, request: Request) -> None:
    """Change one's own password; all of one's other sessions end."""
    current().authenticator.change_password(
        who, current=body.current, new=body.new, address=client_address(request)
    )


def _sign_in(credentials: Credentials, request: Request) -> sessions.SignedIn:
    return current().authenticator.sign_in(
        credentials.email,
        credentials.password,
        user_agent=request.headers.get("user-agent", ""),
        address=client_address(request),
    )

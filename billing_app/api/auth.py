"""Signing in and out, and the user's own sessions and password."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller, SignedInUser
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import ExactRoute, resource
from billing_app.api.wire.values import Body, Timestamp
from billing_app.domain.actor import Role
from billing_app.errors import Forbidden
from billing_app.runtime import current
from billing_app.services.identity import sessions
from billing_app.services.identity.known_places import FORGOTTEN_AFTER
from billing_app.services.identity.rows import SessionRow, SignedIn
from billing_app.web import (
    BROWSER_COOKIE,
    EPOCH_COOKIE,
    SESSION_COOKIE,
    client_address,
    is_https,
    is_own_origin,
)

signing_in = APIRouter(prefix="/auth", tags=["Authentication"], route_class=ExactRoute)
router = resource("/auth", "Authentication")

_AUTH_PATH = "/api/v1/auth"


class Credentials(Body):
    """A user's email and password."""

    email: str = Field(max_length=320, examples=["ada@example.com"])
    password: str = Field(max_length=1024, examples=["correct horse battery"])


class Token(BaseModel):
    """A bearer token, valid for `expires_in` seconds unless its session ends sooner."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int


class Me(BaseModel):
    """The signed-in user."""

    id: str = Field(examples=["usr_4"])
    email: str = Field(examples=["ada@example.com"])
    name: str = Field(examples=["Ada Admin"])
    role: Role


class OwnSession(BaseModel):
    """An active session. Its ID is not a credential and can't be used to sign in."""

    id: str
    created_at: Timestamp
    expires_at: Timestamp
    user_agent: str
    address: str = Field(examples=["192.0.2.7"])
    current: bool = Field(description="Whether this request was made with this session.")


class PasswordChange(Body):
    """The current password and the new one."""

    current: str = Field(max_length=1024, examples=["correct horse battery"])
    new: str = Field(
        max_length=1024,
        examples=["another horse battery"],
        description="At least 12 characters, at most 72 bytes, and not easy to guess.",
    )


@signing_in.post("/token", responses=refusals("invalid_credentials", "too_many_attempts"))
def create_token(credentials: Credentials, request: Request) -> Token:
    """Exchange an email and password for a bearer token."""
    signed_in = _sign_in(credentials, request)
    return Token(access_token=signed_in.token, expires_in=signed_in.expires_in_seconds)


@signing_in.post(
    "/session",
    status_code=204,
    responses=refusals("invalid_credentials", "too_many_attempts", "foreign_origin"),
)
def create_session(credentials: Credentials, request: Request, response: Response) -> None:
    """Sign in with a browser.

    Sets the token that `POST /auth/token` returns as a cookie that scripts can't read.
    """
    # Otherwise another site could sign its visitors in to the attacker's account and later see what they
    # entered.
    if "origin" in request.headers and not is_own_origin(request):
        raise Forbidden("foreign_origin")
    signed_in = _sign_in(credentials, request)
    is_secure = is_https(request)
    lifetime = signed_in.expires_in_seconds
    response.set_cookie(
        SESSION_COOKIE,
        signed_in.token,
        max_age=lifetime,
        httponly=True,
        samesite="lax",
        secure=is_secure,
    )
    response.set_cookie(
        EPOCH_COOKIE, secrets.token_urlsafe(9), max_age=lifetime, samesite="lax", secure=is_secure
    )
    response.set_cookie(
        BROWSER_COOKIE,
        signed_in.browser_token,
        max_age=int(FORGOTTEN_AFTER.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=is_secure,
        path=_AUTH_PATH,
    )


@router.delete("/session", status_code=204)
def end_session(user: SignedInUser, request: Request, response: Response) -> None:
    """Sign out.

    The session ends at once, and its token stops working.
    """
    current().authenticator.sign_out(user.session_id)
    for name in (SESSION_COOKIE, EPOCH_COOKIE):
        response.delete_cookie(
            name, httponly=name == SESSION_COOKIE, samesite="lax", secure=is_https(request)
        )


@router.get("/me")
def get_me(user: SignedInUser) -> Me:
    """Get the signed-in user."""
    return Me(id=user.actor.id, email=user.user.email, name=user.user.name, role=user.user.role)


@router.get("/sessions")
def list_sessions(call: Caller, user: SignedInUser, paged: Paged) -> Page[OwnSession]:
    """List your active sessions, newest first."""

    def as_session(row: SessionRow) -> OwnSession:
        return OwnSession(
            id=row.session_id,
            created_at=row.created_at,
            expires_at=row.expires_at,
            user_agent=row.user_agent,
            address=row.address,
            current=row.session_id == user.session_id,
        )

    return page_of(call.do(sessions.list_sessions, user_id=user.user.user_id, **paged), as_session)


@router.delete("/sessions/{session}", status_code=204, responses=refusals("session_not_found"))
def end_one_session(user: SignedInUser, session: str) -> None:
    """End one of your sessions at once."""
    current().authenticator.end_session(user, session)


@router.post(
    "/password",
    status_code=204,
    responses=refusals(
        "wrong_password",
        "password_too_short",
        "password_too_long",
        "password_too_common",
        "password_unchanged",
        "too_many_attempts",
    ),
)
def change_password(user: SignedInUser, body: PasswordChange, request: Request) -> None:
    """Change your password.

    All of your other sessions end. If you get no response, sign in to find out which password is
    current: a retry with the old one counts as a failed attempt.
    """
    current().authenticator.change_password(
        user,
        current=body.current,
        new=body.new,
        address=client_address(request),
        browser_token=request.cookies.get(BROWSER_COOKIE, ""),
    )


def _sign_in(credentials: Credentials, request: Request) -> SignedIn:
    return current().authenticator.sign_in(
        credentials.email,
        credentials.password,
        user_agent=request.headers.get("user-agent", ""),
        address=client_address(request),
        browser_token=request.cookies.get(BROWSER_COOKIE, ""),
    )

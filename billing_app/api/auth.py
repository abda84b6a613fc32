"""Signing in and out."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from billing_app import identity
from billing_app.api.deps import Person
from billing_app.api.openapi import refusals
from billing_app.api.routing import ExactRoute, resource
from billing_app.api.values import Body
from billing_app.errors import Forbidden
from billing_app.services import auth
from billing_app.web import EPOCH_COOKIE, SESSION_COOKIE, is_https, is_own_origin

signing_in = APIRouter(prefix="/auth", tags=["Authentication"], route_class=ExactRoute)
router = resource("/auth", "Authentication")


class Credentials(Body):
    """What a person signs in with."""

    email: str = Field(max_length=320)
    password: str = Field(max_length=1024)


class Token(BaseModel):
    """A bearer token, good for `expires_in` seconds or until it is revoked."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int


class Me(BaseModel):
    """Who is calling."""

    id: str
    email: str
    name: str
    role: str


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
    if "origin" in request.headers and not is_own_origin(request):
        raise Forbidden("This request does not come from these pages.", code="foreign_origin")
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
    identity.sign_out(who.session_id)
    for name in (SESSION_COOKIE, EPOCH_COOKIE):
        response.delete_cookie(
            name, httponly=name == SESSION_COOKIE, samesite="lax", secure=is_https(request), path="/"
        )


@router.get("/me")
def me(who: Person) -> Me:
    """Who the token or the cookie belongs to."""
    return Me(id=who.actor.id, email=who.user.email, name=who.user.name, role=who.user.role)


def _sign_in(credentials: Credentials, request: Request) -> auth.SignedIn:
    return identity.sign_in(
        credentials.email,
        credentials.password,
        user_agent=request.headers.get("user-agent", ""),
        address=request.client.host if request.client else "",
    )

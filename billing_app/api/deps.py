"""What endpoints ask for: who is calling."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from billing_app import identity
from billing_app.errors import Forbidden, Unauthenticated
from billing_app.services import auth
from billing_app.web import SESSION_COOKIE, is_own_origin

_SAFE = {"GET", "HEAD", "OPTIONS"}


def bearer_token(request: Request) -> str | None:
    """The token of the Authorization header, None when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def caller(request: Request) -> auth.Authenticated:
    """Who is calling, by bearer token or else by the session cookie.

    Raises Unauthenticated, and Forbidden for an unsafe request that carries the cookie without
    coming from our own pages: a browser sends a cookie on anybody's behalf.
    """
    token = bearer_token(request)
    if token is None:
        token = request.cookies.get(SESSION_COOKIE)
        if token and request.method not in _SAFE and not is_own_origin(request):
            raise Forbidden("This request does not come from these pages.", code="foreign_origin")
    if not token:
        raise Unauthenticated("Sign in, or send a bearer token.")
    return identity.authenticate(token)


Caller = Annotated[auth.Authenticated, Depends(caller)]

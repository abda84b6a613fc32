"""Dependencies of endpoints: the caller, and calling services as the caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool

from billing_app.domain.actor import Actor
from billing_app.errors import Forbidden, Unauthenticated
from billing_app.jobs.authentication import actor_of
from billing_app.runtime import current
from billing_app.services.identity.rows import Authenticated
from billing_app.services.identity.token_form import PREFIX
from billing_app.web import SESSION_COOKIE, is_own_origin

P = ParamSpec("P")
Result = TypeVar("Result")

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}

# For the documentation only: `identify` reads both, before the body is read.
_BEARER = Security(
    HTTPBearer(
        auto_error=False,
        scheme_name="bearer",
        description="An API token, or the access token of `POST /api/v1/auth/token`.",
    )
)
_COOKIE = Security(
    APIKeyCookie(
        name=SESSION_COOKIE,
        auto_error=False,
        scheme_name="session",
        description="The cookie of `POST /api/v1/auth/session`. Requests that change something must also"
        " carry the `Origin` of Tallybook's own pages.",
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """Calls services as the request's caller."""

    actor: Actor

    def do(
        self, service: Callable[Concatenate[Session, Actor, P], Result], /, *args: P.args, **kwargs: P.kwargs
    ) -> Result:
        """Call one service in its own transaction, which is READ ONLY for actors that can only read."""
        return current().database.call(self.actor, service, *args, **kwargs)


async def identify(request: Request) -> Authenticated | Actor:
    """Return the caller that the bearer token or session cookie belongs to: a user or an API token's actor.

    Raises Unauthenticated. Raises Forbidden if a request that changes something carries the cookie but does
    not come from our pages, because browsers send cookies on behalf of any page.
    """
    headers = request.headers.getlist("authorization")
    if len(headers) > 1:
        raise Unauthenticated(reason="several_headers")
    scheme, _, token = headers[0].partition(" ") if headers else ("", "", "")
    if scheme.lower() == "bearer":
        token = token.strip()
        if token.startswith(PREFIX):
            return await current().authenticator.token_actor(token)
        return await run_in_threadpool(current().authenticator.authenticate, token)
    cookie = request.cookies.get(SESSION_COOKIE)
    if not cookie:
        raise Unauthenticated(reason="no_credentials")
    if request.method not in _SAFE_METHODS and not is_own_origin(request):
        raise Forbidden("foreign_origin")
    return await run_in_threadpool(current().authenticator.authenticate, cookie)


async def get_call(request: Request, bearer: Any = _BEARER, cookie: Any = _COOKIE) -> Call:
    """Return what calls services as the caller. Raises Forbidden (`password_change_required`)."""
    caller = request.state.caller
    return Call(caller if isinstance(caller, Actor) else actor_of(caller))


async def get_user(request: Request, bearer: Any = _BEARER, cookie: Any = _COOKIE) -> Authenticated:
    """Return the signed-in user, even if they must change their password. Raises Forbidden for a token."""
    caller = request.state.caller
    if not isinstance(caller, Authenticated):
        raise Forbidden(reason="not_a_user")
    return caller


Caller = Annotated[Call, Depends(get_call)]
SignedInUser = Annotated[Authenticated, Depends(get_user)]

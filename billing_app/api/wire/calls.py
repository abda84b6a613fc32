"""What endpoints ask for: who is calling, and the way from there to a service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.concurrency import run_in_threadpool

from billing_app.domain.actor import Actor
from billing_app.errors import Forbidden, Unauthenticated
from billing_app.jobs.authentication import actor_of
from billing_app.runtime import current
from billing_app.services.identity import api_tokens, sessions
from billing_app.web import SESSION_COOKIE, is_own_origin

P = ParamSpec("P")
Result = TypeVar("Result")

_SAFE = {"GET", "HEAD", "OPTIONS"}

# For the documentation only: `identify` reads them, before the body is read.
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
        description="The cookie of `POST /api/v1/auth/session`; unsafe requests need our own `Origin`.",
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request's way to the services, as who is calling."""

    actor: Actor

    def do(
        self, service: Callable[Concatenate[Any, Actor, P], Result], /, *args: P.args, **kwargs: P.kwargs
    ) -> Result:
        """One service call in a transaction of its own; READ ONLY for who may only read."""
        return current().database.call(self.actor, service, *args, **kwargs)


async def identify(request: Request) -> sessions.Authenticated | Actor:
    """Who is calling, by bearer token or else by the session cookie: a person, or a machine's actor.

    Raises Unauthenticated, and Forbidden for an unsafe request that carries the cookie without
    coming from our own pages: a browser sends a cookie on anybody's behalf.
    """
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if given else ("", "", "")
    if len(given) > 1:
        raise Unauthenticated(reason="several_headers")
    if scheme.lower() == "bearer":
        token = token.strip()
        if token.startswith(api_tokens.PREFIX):
            return await asyncio.wrap_future(current().authenticator.machine_actor(token))
        return await run_in_threadpool(current().authenticator.authenticate, token)
    cookie = request.cookies.get(SESSION_COOKIE)
    if not cookie:
        raise Unauthenticated(reason="no_credentials")
    if request.method not in _SAFE and not is_own_origin(request):
        raise Forbidden("foreign_origin")
    return await run_in_threadpool(current().authenticator.authenticate, cookie)


async def caller(request: Request, bearer: Any = _BEARER, cookie: Any = _COOKIE) -> Call:
    """Whoever calls. Raises Forbidden (`password_change_required`) before that is done."""
    who = request.state.caller
    return Call(who if isinstance(who, Actor) else actor_of(who))


async def person(request: Request, bearer: Any = _BEARER, cookie: Any = _COOKIE) -> sessions.Authenticated:
    """The person who calls, also one whose password must be changed first; Forbidden for a machine."""
    who = request.state.caller
    if isinstance(who, Actor):
        raise Forbidden(reason="not_a_person")
    return who  # type: ignore[no-any-return]


Caller = Annotated[Call, Depends(caller)]
Person = Annotated[sessions.Authenticated, Depends(person)]

"""Who is looking at the pages, and the one way from a handler to a service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

import reflex as rx
from sqlmodel import Session as Session  # noqa: PLC0414 - states import the type from here

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import Unauthenticated
from billing_app.jobs.authentication import actor_of
from billing_app.runtime import current
from billing_app.services.identity.rows import Authenticated
from billing_app.state.kit.text import find_zone
from billing_app.web import cookie_value, session_token

P = ParamSpec("P")
Result = TypeVar("Result")
Service = Callable[Concatenate[Session, Actor, P], Result]
Job = Callable[Concatenate[Database, Actor, P], Result]

ROLE_LABELS = {"admin": "Admin", "billing": "Billing", "finance": "Finance"}


class SessionState(rx.State):
    """The signed-in person, for the frame of every page. Shown only: no handler trusts it."""

    signed_in: bool = False
    name: str = ""
    email: str = ""
    role: str = ""
    read_only: bool = False
    may_write: bool = False
    may_administer: bool = False

    @rx.event
    async def enter(self) -> None:
        """Read who is signed in; nobody is sent to the sign-in page."""
        who = await authenticated(self)
        self.signed_in = True
        self.name = who.user.name
        self.email = who.user.email
        self.role = ROLE_LABELS.get(who.actor.role or "", "")
        self.read_only = who.actor.read_only
        self.may_write = who.actor.may(Permission.WRITE_CUSTOMERS)
        self.may_administer = who.actor.may(Permission.ADMINISTER)


async def authenticated(state: rx.State) -> Authenticated:
    """Who sent this event, asked of the database each time: a revoked session counts at once.

    Raises Unauthenticated.
    """
    return await asyncio.to_thread(_authenticate, _token(state))


async def call(state: rx.State, service: Service[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
    """One service call as the actor who sent this event, in a transaction of its own.

    In a thread, so that nobody else's event waits for the database. Raises Unauthenticated
    before anything is read, and whatever the service raises.
    """
    return await asyncio.to_thread(_in_transaction, _token(state), service, args, kwargs)


async def perform(state: rx.State, job: Job[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
    """As `call`, for work of several transactions (billing_app/jobs)."""
    return await asyncio.to_thread(_perform, _token(state), job, args, kwargs)


async def as_person(
    state: rx.State,
    work: Callable[Concatenate[Authenticated, P], Result],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> Result:
    """One of identity's functions, for the person who sent this event: what only they may do for themselves.

    Raises Unauthenticated before anything is done, and whatever the function raises.
    """
    token = _token(state)
    return await asyncio.to_thread(lambda: work(_authenticate(token), *args, **kwargs))


def viewer_zone(state: rx.State) -> ZoneInfo:
    """The zone that the viewer's browser said it is in, else UTC."""
    return find_zone(cookie_value(state.router.headers.cookie, "tallybook_zone"))


def _token(state: rx.State) -> str:
    return session_token(state.router.headers.cookie)


def _authenticate(token: str) -> Authenticated:
    if not token:
        raise Unauthenticated("not_signed_in")
    return current().authenticator.authenticate(token)


def _in_transaction(token: str, service: Any, args: Any, kwargs: Any) -> Any:
    actor = actor_of(_authenticate(token))
    return current().database.call(actor, service, *args, **kwargs)


def _perform(token: str, job: Any, args: Any, kwargs: Any) -> Any:
    actor = actor_of(_authenticate(token))
    return job(current().database, actor, *args, **kwargs)

"""The signed-in viewer of a page, and calling services from event handlers."""

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
    """The viewer, as shown on every page. It is for display only; handlers never rely on it."""

    signed_in: bool = False
    name: str = ""
    email: str = ""
    role: str = ""
    read_only: bool = False
    may_write: bool = False
    may_administer: bool = False

    @rx.event
    async def enter(self) -> None:
        """Load the viewer. Visitors who are not signed in are sent to the sign-in page."""
        viewer = await authenticated(self)
        self.signed_in = True
        self.name = viewer.user.name
        self.email = viewer.user.email
        self.role = ROLE_LABELS.get(viewer.actor.role or "", "")
        self.read_only = viewer.actor.read_only
        self.may_write = viewer.actor.may(Permission.WRITE_CUSTOMERS)
        self.may_administer = viewer.actor.may(Permission.ADMINISTER)


async def authenticated(state: rx.State) -> Authenticated:
    """Return the user who sent this event. Raises Unauthenticated.

    The session is checked in the database each time, so ending it takes effect at once.
    """
    return await asyncio.to_thread(_authenticate, _token(state))


async def call(state: rx.State, service: Service[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
    """Call one service as the user who sent this event, in its own transaction.

    It runs in a thread, so that other users' events don't wait for the database. Raises Unauthenticated
    before anything is read, and whatever the service raises.
    """
    return await asyncio.to_thread(_in_transaction, _token(state), service, args, kwargs)


async def perform(state: rx.State, job: Job[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
    """Run a job (billing_app/jobs), which has several transactions, as `call` runs a service."""
    return await asyncio.to_thread(_perform, _token(state), job, args, kwargs)


async def as_user(
    state: rx.State,
    work: Callable[Concatenate[Authenticated, P], Result],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> Result:
    """Call a function of the authenticator for the user who sent this event.

    Raises Unauthenticated before anything is done, and whatever the function raises.
    """
    token = _token(state)
    return await asyncio.to_thread(lambda: work(_authenticate(token), *args, **kwargs))


def viewer_zone(state: rx.State) -> ZoneInfo:
    """Return the time zone of the viewer's browser, or UTC if it is unknown."""
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

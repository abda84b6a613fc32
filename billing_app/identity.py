"""Who is asking, for the edges: tokens and passwords in, services asked, each in transactions of its own.

Identity is written and read by the system actor; what the caller may do is decided by the
actor that comes out.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from billing_app.db import Database, get_database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.errors import Forbidden, Invalid, Unauthenticated
from billing_app.gathering import Gathering
from billing_app.services import api_tokens, attempts, auth
from billing_app.settings import get_settings

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# For a single read: without the round trips that begin and end a transaction.
_ONE_STATEMENT = "AUTOCOMMIT"
# Each takes a core for a quarter of a second and holds a connection for as long: others are served too.
_PASSWORDS_AT_ONCE = threading.BoundedSemaphore(4)


def authenticate(token: str) -> auth.Authenticated:
    """Who a session's token belongs to now. Raises Unauthenticated."""
    with get_database().transaction(SYSTEM, isolation=_ONE_STATEMENT) as session:
        return auth.authenticate(session, token=token, secret=_secret())


def actor_of(who: auth.Authenticated) -> Actor:
    """The actor that a person is; Forbidden (`password_change_required`) before that is done."""
    if who.user.must_change_password:
        raise Forbidden("change your one-time password first", code="password_change_required")
    return who.actor


def machine_actor(token: str) -> Future[Actor]:
    """The actor that an API token is; looked up after it was asked, with others that ask at the same time.

    The answer raises Unauthenticated; asking raises Busy.
    """
    return _machines.ask(get_database(), token)


def _find_machines(database: Database, tokens: list[str]) -> list[Actor | Exception]:
    with database.transaction(SYSTEM, isolation=_ONE_STATEMENT) as session:
        found = api_tokens.find_machines(session, tokens)
    for actor in {each.actor for each in found if isinstance(each, api_tokens.Machine) and each.is_due}:
        _mark_used(database, actor)
    return [each.actor if isinstance(each, api_tokens.Machine) else each for each in found]


_machines = Gathering("api-tokens", _find_machines)


def _mark_used(database: Database, actor: Actor) -> None:
    try:
        with database.transaction(SYSTEM) as session:
            api_tokens.mark_used(session, SYSTEM, actor.id)
    except SQLAlchemyError:
        # What the token was used for is worth more than the note that it was.
        logger.warning("the use of %s could not be noted", actor.id, exc_info=True)


def sign_in(email: str, password: str, *, user_agent: str, address: str) -> auth.SignedIn:
    """Starts a session. Raises Unauthenticated and TooManyAttempts."""

    def work(session: Session) -> auth.SignedIn:
        return auth.sign_in(
            session,
            SYSTEM,
            email=email,
            password=password,
            secret=_secret(),
            user_agent=user_agent,
            address=address,
        )

    return _counted(email, address, "user.sign_in_failed", work)


def change_password(who: auth.Authenticated, *, current: str, new: str, address: str) -> None:
    """Changes one's own password; the other sessions end. Raises Invalid and TooManyAttempts.

    Counted like a sign-in: with a stolen session it would be a way to guess the password.
    """
    auth.check_new_password(who.user, current=current, new=new)

    def work(session: Session) -> None:
        auth.change_password(
            session,
            SYSTEM,
            user_id=who.user.user_id,
            current=current,
            new=new,
            keep_session_id=who.session_id,
        )

    _counted(who.user.email, address, "user.password_change_failed", work)


def _counted(email: str, address: str, action: str, work: Callable[[Session], Result]) -> Result:
    """`work` with a typed password: counted and committed before, cleared when it was right.

    When it was wrong, or the process ends in between, the count stays.
    """
    database = get_database()
    attempt = database.run(
        SYSTEM, lambda session: attempts.count(session, SYSTEM, email=email, address=address)
    )
    try:
        with _PASSWORDS_AT_ONCE, database.transaction(SYSTEM) as session:
            result = work(session)
            attempts.clear(session, SYSTEM, attempt)
            return result
    except (Unauthenticated, Invalid):
        # In a transaction of its own: the refused one has been undone.
        with database.transaction(SYSTEM) as session:
            auth.record_failure(session, SYSTEM, attempt, action=action)
        raise


def sign_out(session_id: str) -> None:
    """Ends a session at once."""
    with get_database().transaction(SYSTEM) as session:
        auth.sign_out(session, SYSTEM, session_id=session_id)


def end_session(who: auth.Authenticated, session_id: str) -> None:
    """Ends one of one's own sessions. Raises NotFound, and Forbidden as `actor_of` does."""
    actor_of(who)
    with get_database().transaction(SYSTEM) as session:
        auth.end_session(session, SYSTEM, user_id=who.user.user_id, session_id=session_id)


def end_other_sessions(who: auth.Authenticated, keep_session_id: str) -> None:
    """Ends all of one's own sessions but that one. Raises as `end_session` does."""
    actor_of(who)
    with get_database().transaction(SYSTEM) as session:
        auth.end_other_sessions(session, SYSTEM, user_id=who.user.user_id, keep_session_id=keep_session_id)


@functools.cache
def _secret() -> str:
    return get_settings().signing_secret()

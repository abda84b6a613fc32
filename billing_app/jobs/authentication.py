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

from billing_app.database.session import Database, is_unavailable
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.errors import Forbidden, Invalid, Unauthenticated
from billing_app.jobs.gathering import Gatherer
from billing_app.services.identity import api_tokens, sessions, sign_in_attempts
from billing_app.settings import Settings

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# For a single read: without the round trips that begin and end a transaction.
_ONE_STATEMENT = "AUTOCOMMIT"
# Each takes a core for a quarter of a second and holds a connection for as long: others are served too.
_PASSWORDS_AT_ONCE = threading.BoundedSemaphore(4)


class Authenticator:
    """Proves who is calling one database's services, signing session tokens with `settings`' secret."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._machines = Gatherer("api-tokens", _find_machines)

    @functools.cached_property
    def _secret(self) -> str:
        return self._settings.signing_secret()

    def authenticate(self, token: str) -> sessions.Authenticated:
        """Who a session's token belongs to now. Raises Unauthenticated."""
        with self._database.transaction(SYSTEM, isolation=_ONE_STATEMENT) as session:
            return sessions.authenticate(session, token=token, secret=self._secret)

    def machine_actor(self, token: str) -> Future[Actor]:
        """The actor that an API token is; looked up after it was asked, with others that ask at the same time.

        The answer raises Unauthenticated; asking raises Busy.
        """
        return self._machines.submit(self._database, token)

    def sign_in(self, email: str, password: str, *, user_agent: str, address: str) -> sessions.SignedIn:
        """Starts a session. Raises Unauthenticated and TooManyAttempts."""

        def work(session: Session) -> sessions.SignedIn:
            return sessions.sign_in(
                session,
                SYSTEM,
                email=email,
                password=password,
                secret=self._secret,
                user_agent=user_agent,
                address=address,
            )

        return self._counted(email, address, "user.sign_in_failed", work)

    def change_password(self, who: sessions.Authenticated, *, current: str, new: str, address: str) -> None:
        """Changes one's own password; the other sessions end. Raises Invalid and TooManyAttempts.

        Counted like a sign-in: with a stolen session it would be a way to guess the password.
        """
        sessions.check_new_password(who.user, current=current, new=new)

        def work(session: Session) -> None:
            sessions.change_password(
                session,
                SYSTEM,
                user_id=who.user.user_id,
                current=current,
                new=new,
                keep_session_id=who.session_id,
            )

        self._counted(who.user.email, address, "user.password_change_failed", work)

    def _counted(self, email: str, address: str, action: str, work: Callable[[Session], Result]) -> Result:
        """`work` with a typed password: counted and committed before, cleared when it was right.

        When it was wrong, or the process ends in between, the count stays.
        """
        database = self._database
        attempt = database.run(
            SYSTEM, lambda session: sign_in_attempts.count(session, SYSTEM, email=email, address=address)
        )
        try:
            with _PASSWORDS_AT_ONCE, database.transaction(SYSTEM) as session:
                result = work(session)
                sign_in_attempts.clear(session, SYSTEM, attempt)
                return result
        except (Unauthenticated, Invalid):
            # In a transaction of its own: the refused one has been undone.
            with database.transaction(SYSTEM) as session:
                sessions.record_failure(session, SYSTEM, attempt, action=action)
            raise

    def sign_out(self, session_id: str) -> None:
        """Ends a session at once."""
        with self._database.transaction(SYSTEM) as session:
            sessions.sign_out(session, SYSTEM, session_id=session_id)

    def end_session(self, who: sessions.Authenticated, session_id: str) -> None:
        """Ends one of one's own sessions. Raises NotFound, and Forbidden as `actor_of` does."""
        actor_of(who)
        with self._database.transaction(SYSTEM) as session:
            sessions.end_session(session, SYSTEM, user_id=who.user.user_id, session_id=session_id)

    def end_other_sessions(self, who: sessions.Authenticated, keep_session_id: str) -> None:
        """Ends all of one's own sessions but that one. Raises as `end_session` does."""
        actor_of(who)
        with self._database.transaction(SYSTEM) as session:
            sessions.end_other_sessions(
                session, SYSTEM, user_id=who.user.user_id, keep_session_id=keep_session_id
            )


def actor_of(who: sessions.Authenticated) -> Actor:
    """The actor that a person is; Forbidden (`password_change_required`) before that is done."""
    if who.user.must_change_password:
        raise Forbidden("password_change_required")
    return who.actor


def _find_machines(database: Database, tokens: list[str]) -> list[Actor | Exception]:
    with database.transaction(SYSTEM, isolation=_ONE_STATEMENT) as session:
        found = api_tokens.find_machines(session, tokens)
    for actor in {each.actor for each in found if isinstance(each, api_tokens.Machine) and each.is_due}:
        _mark_used(database, actor)
    return [each.actor if isinstance(each, api_tokens.Machine) else each for each in found]


def _mark_used(database: Database, actor: Actor) -> None:
    try:
        with database.transaction(SYSTEM) as session:
            api_tokens.mark_used(session, SYSTEM, actor.id)
    except SQLAlchemyError as error:
        # The request matters more than the note of when its token was used.
        if is_unavailable(error):
            database.outages.report("noting the use of an API token", error)
        else:
            logger.warning("The use of %s could not be noted.", actor.id, exc_info=True)

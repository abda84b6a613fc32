"""Authentication: turns passwords and tokens into actors, in separate transactions.

The system actor reads and writes identity data. The authenticated actor determines what the caller may do.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from billing_app.database.kept_connection import Connection
from billing_app.database.session import Database, is_unavailable
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.errors import Forbidden, Invalid, Unauthenticated
from billing_app.jobs.rounds import Rounds
from billing_app.services.identity import api_tokens, queries, sessions, sign_in_attempts
from billing_app.services.identity.rows import Authenticated, SignedIn, TokenActor
from billing_app.settings import Settings

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# Autocommit saves the round trips that begin and end a transaction, which a single read doesn't need.
_ONE_STATEMENT = "AUTOCOMMIT"
# Each password check keeps a core and a connection busy for a quarter of a second.
_PASSWORDS_AT_ONCE = threading.BoundedSemaphore(4)


class Authenticator:
    """Authenticates callers against one database, with the signing secret in the settings."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        # Of this event loop; tasks are kept here because loops only refer to them weakly.
        self._noting: dict[str, asyncio.Task[None]] = {}
        self._token_lookups: Rounds[str, Actor] = Rounds(database, self._find_token_actors)

    @functools.cached_property
    def _secret(self) -> str:
        return self._settings.signing_secret()

    def authenticate(self, token: str) -> Authenticated:
        """Return the user that a session's token belongs to. Raises Unauthenticated."""
        with self._database.transaction(SYSTEM, isolation=_ONE_STATEMENT) as session:
            return queries.authenticate(session, token=token, secret=self._secret)

    async def token_actor(self, token: str) -> Actor:
        """Look up the actor of an API token, together with other lookups that arrive at the same time.

        Raises Unauthenticated, and Busy if too many lookups are waiting.
        """
        return await self._token_lookups.answer(token)

    async def close(self) -> None:
        """Answer the lookups that are waiting, close their connection, and finish noting uses."""
        await self._token_lookups.close()
        await asyncio.gather(*self._noting.values(), return_exceptions=True)

    def sign_in(
        self, email: str, password: str, *, user_agent: str, address: str, browser_token: str = ""
    ) -> SignedIn:
        """Start a session. Raises Unauthenticated and TooManyAttempts."""

        def work(session: Session) -> SignedIn:
            return sessions.sign_in(
                session,
                SYSTEM,
                email=email,
                password=password,
                secret=self._secret,
                user_agent=user_agent,
                address=address,
                browser_token=browser_token,
            )

        return self._count_and_try(email, address, browser_token, "user.sign_in_failed", work)

    def change_password(
        self, caller: Authenticated, *, current: str, new: str, address: str, browser_token: str = ""
    ) -> None:
        """Change the caller's own password and end their other sessions. Raises Invalid and TooManyAttempts.

        Attempts count like those to sign in. Otherwise a stolen session could be used to guess the password.
        """
        sessions.check_new_password(caller.user, current=current, new=new)

        def work(session: Session) -> None:
            sessions.change_password(
                session,
                SYSTEM,
                user_id=caller.user.user_id,
                current=current,
                new=new,
                keep_session_id=caller.session_id,
            )

        email = caller.user.email
        self._count_and_try(email, address, browser_token, "user.password_change_failed", work)

    async def _find_token_actors(
        self, connection: Connection, tokens: Sequence[str], is_late: bool
    ) -> list[Actor | Exception]:
        found = await queries.find_token_actors(connection, tokens, self._database.clock())
        for each in found:
            if isinstance(each, TokenActor) and each.is_use_due:
                self._start_noting_use(each.actor)
        return [each.actor if isinstance(each, TokenActor) else each for each in found]

    def _start_noting_use(self, actor: Actor) -> None:
        """Note the use of a token in the background. No lookup waits for it, nor for a connection of the pool."""
        if actor.id in self._noting:
            return
        noting = asyncio.create_task(asyncio.to_thread(_note_use, self._database, actor))
        self._noting[actor.id] = noting
        noting.add_done_callback(lambda _: self._noting.pop(actor.id, None))

    def _count_and_try(
        self,
        email: str,
        address: str,
        browser_token: str,
        failed_action: str,
        work: Callable[[Session], Result],
    ) -> Result:
        """Run `work`, which checks a password, as a counted attempt.

        The count is committed first, and subtracted again if the password is correct. It remains if the
        password is wrong or the process is killed in between.
        """
        database = self._database
        attempt = database.call(
            SYSTEM, sign_in_attempts.count, email=email, address=address, browser_token=browser_token
        )
        try:
            with _PASSWORDS_AT_ONCE, database.transaction(SYSTEM) as session:
                result = work(session)
                sign_in_attempts.clear(session, SYSTEM, attempt)
                return result
        except (Unauthenticated, Invalid):
            # In a separate transaction, because the failed one is rolled back.
            database.call(SYSTEM, sessions.record_failure, attempt, action=failed_action)
            raise

    def sign_out(self, session_id: str) -> None:
        """End a session at once."""
        self._database.call(SYSTEM, sessions.sign_out, session_id=session_id)

    def end_session(self, caller: Authenticated, session_id: str) -> None:
        """End one of the caller's own sessions. Raises NotFound, and Forbidden as `actor_of` does."""
        actor_of(caller)
        user_id = caller.user.user_id
        self._database.call(SYSTEM, sessions.end_session, user_id=user_id, session_id=session_id)

    def end_other_sessions(self, caller: Authenticated, keep_session_id: str) -> None:
        """End all of the caller's own sessions except one. Raises as `end_session` does."""
        actor_of(caller)
        self._database.call(
            SYSTEM,
            sessions.end_other_sessions,
            user_id=caller.user.user_id,
            keep_session_id=keep_session_id,
        )


def actor_of(caller: Authenticated) -> Actor:
    """Return the caller's actor. Raises Forbidden (`password_change_required`) before a required change."""
    if caller.user.must_change_password:
        raise Forbidden("password_change_required")
    return caller.actor


def _note_use(database: Database, actor: Actor) -> None:
    try:
        with database.transaction(SYSTEM) as session:
            api_tokens.note_use(session, SYSTEM, actor.id)
    except SQLAlchemyError as error:
        # The request matters more than the time of the token's last use.
        if is_unavailable(error):
            database.outages.report("noting the use of an API token", error)
        else:
            logger.warning("Could not note the use of API token %s.", actor.id, exc_info=True)

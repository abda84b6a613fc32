"""Who is asking, for the edges: tokens in, services asked, each in a transaction of its own.

Identity is written and read by the system actor; what the caller may do is decided by the
actor that comes out.
"""

from __future__ import annotations

import functools

from billing_app.db import get_database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.errors import Forbidden, Unauthenticated
from billing_app.services import auth
from billing_app.settings import get_settings


def authenticate(token: str) -> auth.Authenticated:
    """Who a token belongs to now. Raises Unauthenticated."""
    with get_database().transaction(SYSTEM) as session:
        return auth.authenticate(session, token=token, secret=_secret())


def actor_of(who: auth.Authenticated) -> Actor:
    """The actor that the signed-in person is.

    Raises Forbidden (`password_change_required`) while the password is a one-time password.
    """
    if who.user.must_change_password:
        raise Forbidden("choose a password of your own first", code="password_change_required")
    return who.actor


def bearer_actor(token: str) -> Actor:
    """The actor of an API token or of a session's token. Raises Unauthenticated."""
    raise Unauthenticated("this is not, or no longer, a good token")


def sign_in(email: str, password: str, *, user_agent: str, address: str) -> auth.SignedIn:
    """Starts a session. Raises Unauthenticated and TooManyAttempts."""
    with get_database().transaction(SYSTEM) as session:
        return auth.sign_in(
            session,
            SYSTEM,
            email=email,
            password=password,
            secret=_secret(),
            user_agent=user_agent,
            address=address,
        )


def sign_out(session_id: str) -> None:
    """Ends a session at once."""
    with get_database().transaction(SYSTEM) as session:
        auth.sign_out(session, SYSTEM, session_id=session_id)


@functools.cache
def _secret() -> str:
    return get_settings().signing_secret()

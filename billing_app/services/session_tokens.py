"""The token of a session: a JWT that says whose and which session, and nothing that could go stale."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import jwt
from jwt.types import Options

from billing_app.errors import Unauthenticated

_ALGORITHM = "HS256"
_ISSUER = _AUDIENCE = "tallybook"
_OPTIONS: Options = {
    "require": ["sub", "sid", "iat", "exp", "iss", "aud"],
    # Moments are compared with the transaction's clock, not with PyJWT's.
    "verify_exp": False,
    "verify_iat": False,
}


class Claims(NamedTuple):
    """The user (`usr_4`), the session's id, and when it began and ends."""

    subject: str
    session_id: str
    issued_at: datetime
    expires_at: datetime


def encode(claims: Claims, secret: str) -> str:
    """The signed token."""
    payload = {
        "sub": claims.subject,
        "sid": claims.session_id,
        "iat": claims.issued_at,
        "exp": claims.expires_at,
        "iss": _ISSUER,
        "aud": _AUDIENCE,
    }
    return jwt.encode(payload, secret, _ALGORITHM)


def decode(token: object, secret: str, moment: datetime) -> tuple[str, str]:
    """The subject and the session id of a token that we signed and that is good at the moment.

    Raises Unauthenticated (`invalid_token`) for every other one, whatever is wrong with it.
    """
    try:
        payload = jwt.decode(str(token), secret, [_ALGORITHM], _OPTIONS, issuer=_ISSUER, audience=_AUDIENCE)
    except (jwt.InvalidTokenError, UnicodeError):
        raise invalid_token() from None
    subject, session_id, expires_at = payload["sub"], payload["sid"], payload["exp"]
    if not isinstance(session_id, str) or not isinstance(expires_at, int) or expires_at <= moment.timestamp():
        raise invalid_token()
    return subject, session_id


def invalid_token() -> Unauthenticated:
    """The one answer, which does not say why."""
    return Unauthenticated("sign in again: this is not, or no longer, a good token")

"""The session token: a JWT with the IDs of the user and the session, and nothing that can become outdated."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import jwt
from jwt.types import Options

from billing_app.errors import Unauthenticated

_ALGORITHM = "HS256"
# Every token we sign has exactly this header. Headers with more fields (`crit`, `kid`, `jku`) are rejected.
_HEADER = {"alg": _ALGORITHM, "typ": "JWT"}
# Three times the length of our tokens. Longer text is not parsed, nor is text that only lenient base64
# accepts.
_CHARACTERS_MAX = 1000
_FORM = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
# The clocks of two servers may differ by this much, and a wrong clock may be set right by this much. A session
# has a row in the database, so this makes no token valid for longer.
_LEEWAY = timedelta(minutes=15)
_ISSUER = _AUDIENCE = "tallybook"
_OPTIONS: Options = {
    "require": ["sub", "sid", "iat", "exp", "iss", "aud"],
    # A single audience as a string; JWTs may also have a list.
    "strict_aud": True,
    # Times are compared with the transaction's clock rather than PyJWT's.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


class Claims(NamedTuple):
    """The user's ID (`usr_4`), the session's ID, and when the session starts and ends."""

    subject: str
    session_id: str
    issued_at: datetime
    expires_at: datetime


def encode(claims: Claims, secret: str) -> str:
    """Return the signed token."""
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
    """Return the IDs of the user and the session in a token that we signed and that is valid at `moment`.

    Raises Unauthenticated (`invalid_token`), which does not say what is wrong with the token.
    """
    try:
        payload = _verify_signature(str(token), secret)
    except (jwt.InvalidTokenError, UnicodeError, RecursionError):
        raise Unauthenticated("invalid_token") from None
    subject, session_id = payload["sub"], payload["sid"]
    if not (isinstance(session_id, str) and session_id.isprintable() and _is_valid_at(payload, moment)):
        raise Unauthenticated("invalid_token")
    return subject, session_id


def _verify_signature(token: str, secret: str) -> dict[str, Any]:
    if len(token) > _CHARACTERS_MAX or not _FORM.fullmatch(token):
        raise jwt.DecodeError
    decoded = jwt.decode_complete(token, secret, [_ALGORITHM], _OPTIONS, issuer=_ISSUER, audience=_AUDIENCE)
    if decoded["header"] != _HEADER:
        raise jwt.DecodeError
    payload: dict[str, Any] = decoded["payload"]
    return payload


def _is_valid_at(payload: dict[str, Any], moment: datetime) -> bool:
    """Return whether the token is valid at `moment`. Its times are whole seconds."""
    starts: list[int] = [payload["iat"], *([payload["nbf"]] if "nbf" in payload else [])]
    end: int = payload["exp"]
    if any(type(each) is not int for each in (*starts, end)):
        return False
    return max(starts) <= (moment + _LEEWAY).timestamp() and moment.timestamp() < end

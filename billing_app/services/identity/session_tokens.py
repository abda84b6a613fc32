"""The token of a session: a JWT that says whose and which session, and nothing that could go stale."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import jwt
from jwt.types import Options

from billing_app.errors import Unauthenticated

_ALGORITHM = "HS256"
# What we sign is headed so. A header that asks for anything more (`crit`, `kid`, `jku`) is not ours.
_HEADER = {"alg": _ALGORITHM, "typ": "JWT"}
# Ours take a third of this; nothing longer is parsed, and nothing that base64 would pass over.
_CHARACTERS_MAX = 1000
_FORM = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
# How far apart the clocks of two servers may be.
_LEEWAY = timedelta(minutes=1)
_ISSUER = _AUDIENCE = "tallybook"
_OPTIONS: Options = {
    "require": ["sub", "sid", "iat", "exp", "iss", "aud"],
    # One audience, as text.
    "strict_aud": True,
    # Moments are compared with the transaction's clock, not with PyJWT's.
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
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
        payload = _signed_by_us(str(token), secret)
    except (jwt.InvalidTokenError, UnicodeError, RecursionError):
        raise invalid_token() from None
    subject, session_id = payload["sub"], payload["sid"]
    if not (isinstance(session_id, str) and session_id.isprintable() and _is_good_at(payload, moment)):
        raise invalid_token()
    return subject, session_id


def _signed_by_us(token: str, secret: str) -> dict[str, Any]:
    if len(token) > _CHARACTERS_MAX or not _FORM.fullmatch(token):
        raise jwt.DecodeError
    found = jwt.decode_complete(token, secret, [_ALGORITHM], _OPTIONS, issuer=_ISSUER, audience=_AUDIENCE)
    if found["header"] != _HEADER:
        raise jwt.DecodeError
    payload: dict[str, Any] = found["payload"]
    return payload


def _is_good_at(payload: dict[str, Any], moment: datetime) -> bool:
    """Whether the moment is between the token's beginning and its end, all told in whole seconds."""
    begins: list[int] = [payload["iat"], *([payload["nbf"]] if "nbf" in payload else [])]
    ends: int = payload["exp"]
    if any(type(each) is not int for each in (*begins, ends)):
        return False
    return max(begins) <= (moment + _LEEWAY).timestamp() and moment.timestamp() < ends


def invalid_token() -> Unauthenticated:
    """The one answer, which does not say why."""
    return Unauthenticated()

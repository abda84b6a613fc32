"""The form of an API token's secret, and the hash that is stored in its place."""

from __future__ import annotations

import hashlib
import secrets

# Distinguishes an API token from a session's token, and lets scanners of code and logs recognize one.
PREFIX = "tbk_"
_RANDOM_BYTES = 32


def new_secret() -> str:
    """Return a new secret with 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hash_token(token: str) -> str:
    """Return the hash of a random secret. It may be a fast one, because 256 random bits can't be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()

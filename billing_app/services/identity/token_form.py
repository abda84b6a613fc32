"""The format of an API token's secret, and the hash that is stored instead of it."""

from __future__ import annotations

import hashlib
import secrets

# Distinguishes API tokens from session tokens, and lets secret scanners recognize them.
PREFIX = "tbk_"
_RANDOM_BYTES = 32


def new_secret() -> str:
    """Return a new secret with 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hash_token(token: str) -> str:
    """Return the hash of a secret. A fast hash is enough, because 256 random bits can't be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()

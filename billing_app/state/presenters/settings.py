"""Rows of the settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IssuerItem:
    """The issuer. Every field is empty until an admin has saved the company details."""

    name: str = ""
    email: str = ""
    address: str = ""
    payment_instructions: str = ""
    is_complete: bool = False


@dataclass(frozen=True)
class SessionItem:
    """A sign-in of one's own that is still good."""

    session_id: str = ""
    device: str = ""
    user_agent: str = ""
    address: str = ""
    since: str = ""
    since_utc: str = ""
    is_this: bool = False


@dataclass(frozen=True)
class TokenItem:
    """An API token, without itself."""

    token_id: str = ""
    name: str = ""
    may: str = ""
    made_by: str = ""
    made: str = ""
    made_utc: str = ""
    used: str = ""
    used_utc: str = ""
    is_revoked: bool = False
    revoked: str = ""

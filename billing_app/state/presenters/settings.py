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
    """A session of the viewer that has not ended."""

    session_id: str = ""
    program: str = ""
    user_agent: str = ""
    address: str = ""
    since: str = ""
    since_utc: str = ""
    is_current: bool = False


@dataclass(frozen=True)
class TokenItem:
    """An API token without its secret."""

    token_id: str = ""
    name: str = ""
    access: str = ""
    created_by: str = ""
    created: str = ""
    created_utc: str = ""
    last_used: str = ""
    last_used_utc: str = ""
    is_revoked: bool = False
    revoked: str = ""

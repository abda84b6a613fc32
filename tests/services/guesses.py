"""Sign-in attempts, and what is counted and recorded about them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.errors import BillingError, TooManyAttempts
from billing_app.services.audit import log as audit_log
from tests.factories import PASSWORD
from tests.runtimes import authenticator

WRONG = "wrong horse battery"
NEW = "another horse battery"
HERE = "192.0.2.1"
# The user's own address, which attackers don't use.
HOME = "198.51.100.7"


def sign_in(email: str, password: str = WRONG, address: str = HERE, browser: str = "") -> str:
    """Try a password. Return the error code, or an empty string on success."""
    try:
        authenticator().sign_in(email, password, user_agent="", address=address, browser_token=browser)
    except BillingError as refusal:
        return refusal.code
    return ""


def failures(email: str, times: int, **options: Any) -> None:
    assert [sign_in(email, **options) for _ in range(times)] == ["invalid_credentials"] * times


def retry_after(email: str, address: str = HERE) -> int:
    with pytest.raises(TooManyAttempts) as caught:
        authenticator().sign_in(email, PASSWORD, user_agent="", address=address)
    assert caught.value.retry_after_seconds is not None
    return caught.value.retry_after_seconds


def actions(database: Database) -> list[tuple[str, str]]:
    """Return the audit actions about sign-ins, oldest first."""
    with database.transaction(SYSTEM) as session:
        entries = audit_log.list_audit_entries(session, SYSTEM, limit=200).items
    return [(each.action, each.subject) for each in reversed(entries) if each.action != "user.created"]


def counts(owner: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Return the counts: first per address, then of the account, then of its places."""
    return owner.execute("""
        SELECT CASE WHEN account = '' THEN 'address' WHEN place = '' THEN 'account' ELSE 'place' END,
               failures, locked_until
          FROM sign_in_attempt ORDER BY account, place
    """).fetchall()

"""Limits on failed attempts to use a password.

Failures are counted in three ways, and each count has its own lock:

1. Per account and place. The fifth failure locks the account for this place for a minute, and
   each further one for twice as long as the one before, up to an hour. The count is reset after a day
   without a failure, or by the correct password.
2. Per account, over all places that the user has not signed in from before. A hundred failures
   within a day lock the account for all such places for an hour, and so does each further one.
3. Per address, over all accounts. Fifty failures within a quarter of an hour lock the address for as
   long. This slows down an attacker who tries one password on many accounts.

A place is a browser that the user signed in with before, recognized by a cookie, or else a network
address. A place is known if the user signed in from it in the last 90 days. Known places are exempt from the
second count, and known browsers also from the third one. So whatever attackers do elsewhere, the user's
correct password works there. Failures at a known place itself still lock that place.

This bounds the guesses at one account, however many addresses they come from: about 125 a day from all
unknown places together (100, then one an hour), and 35 a day from each known place, of which there are at
most 20. A single address can reach only 35 of the 100, so a single attacker can't lock the account for new
places either. `users.unlock_user` ends the locks of an account early.

An attempt is counted, and the count committed, before the password is checked. So of many concurrent guesses,
only the allowed number is checked. Accounts that don't exist are counted in the same way. The policies follow
OWASP's Authentication Cheat Sheet and NIST SP 800-63B section 5.2.2.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from sqlalchemy import text
from sqlmodel import Session

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import TooManyAttempts
from billing_app.services.identity.known_places import Place, find_place
from billing_app.services.shared.emails import email_key
from billing_app.services.shared.permissions import require

_DOUBLINGS_MAX = 16
# Each attempt adds at most three rows. Deleting more old ones than that keeps the table small.
_FORGOTTEN_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """When failures lock. Failure number `allowed` locks for `lock`, each further one for twice as long.

    The count is reset `window` after its last failure, or after its first one.
    """

    allowed: int
    lock: timedelta
    lock_max: timedelta
    window: timedelta
    since: Literal["first_at", "last_at"]

    def lock_after(self, failures: int) -> timedelta | None:
        """Return for how long this many failures lock, or None if they don't."""
        if failures < self.allowed:
            return None
        doublings = min(failures - self.allowed, _DOUBLINGS_MAX)
        return min(self.lock * (1 << doublings), self.lock_max)


PLACE = Policy(
    allowed=5,
    lock=timedelta(minutes=1),
    lock_max=timedelta(hours=1),
    window=timedelta(days=1),
    since="last_at",
)
ACCOUNT = Policy(
    allowed=100,
    lock=timedelta(hours=1),
    lock_max=timedelta(hours=1),
    window=timedelta(days=1),
    since="first_at",
)
# The limit is high because a whole office may share one address.
ADDRESS = Policy(
    allowed=50,
    lock=timedelta(minutes=15),
    lock_max=timedelta(minutes=15),
    window=timedelta(minutes=15),
    since="first_at",
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted attempt, and the locks that it starts unless the password is correct."""

    email_key: str = field(repr=False)
    address: str
    place: Place
    locks_place: bool
    locks_account: bool
    locks_address: bool


_COUNT = """
    INSERT INTO sign_in_attempt AS a (account, place, failures, first_at, last_at)
    VALUES (:account, :place, 1, :now, :now)
    ON CONFLICT (account, place) DO UPDATE SET
        failures = CASE WHEN a.{since} <= :forgotten THEN 1 ELSE a.failures + 1 END,
        first_at = CASE WHEN a.{since} <= :forgotten THEN :now ELSE a.first_at END,
        last_at = greatest(a.last_at, :now),
        locked_until = NULL
    WHERE a.locked_until IS NULL OR a.locked_until <= :now
    RETURNING failures
"""
_ROW = "WHERE account = :account AND place = :place"
_LOCK = text(f"UPDATE sign_in_attempt SET locked_until = :until {_ROW}")
_LOCKED_UNTIL = text(f"SELECT locked_until FROM sign_in_attempt {_ROW}")
_CLEAR = text(f"DELETE FROM sign_in_attempt {_ROW}")
_TAKE_BACK = text(f"""
    UPDATE sign_in_attempt SET failures = greatest(failures - 1, 0), locked_until = NULL {_ROW}
""")
_UNLOCK = text("DELETE FROM sign_in_attempt WHERE account = :account RETURNING place")
_FORGET = text("""
    DELETE FROM sign_in_attempt WHERE (account, place) IN (
        SELECT account, place FROM sign_in_attempt WHERE last_at <= :forgotten
        ORDER BY last_at LIMIT :at_most FOR UPDATE SKIP LOCKED)
""")


def count(session: Session, actor: Actor, *, email: object, address: str, browser_token: str = "") -> Attempt:
    """Count an attempt to use an account's password. Commit it before checking the password.

    Raises TooManyAttempts while the account, the place or the address is locked, even if the
    password is correct. The rejected attempt is then rolled back and does not count.
    """
    require(actor, Permission.IDENTITY)
    key = email_key(email) if isinstance(email, str) else ""
    place = find_place(session, actor, email_key=key, address=address, browser_token=browser_token)
    account = _hash_account(key)
    # Always in this order, so that no two attempts can wait for each other.
    locks_address = not place.is_known_browser and _count(session, ADDRESS, place=place.address)
    locks_place = _count(session, PLACE, account=account, place=place.place)
    locks_account = not place.is_known and _count(session, ACCOUNT, account=account)
    forgotten = now(session) - max(PLACE.window, ACCOUNT.window, ADDRESS.window)
    session.execute(_FORGET, {"forgotten": forgotten, "at_most": _FORGOTTEN_AT_ONCE})
    return Attempt(
        email_key=key,
        address=address,
        place=place,
        locks_place=locks_place,
        locks_account=locks_account,
        locks_address=locks_address,
    )


def _count(session: Session, policy: Policy, *, account: str = "", place: str = "") -> bool:
    """Count one failure and return whether it locks. The row stays locked until the commit."""
    moment = now(session)
    row = {"account": account, "place": place}
    counting = text(_COUNT.format(since=policy.since))
    failures = session.scalar(counting, {**row, "now": moment, "forgotten": moment - policy.window})
    if failures is None:
        seconds = (session.execute(_LOCKED_UNTIL, row).scalar_one() - moment).total_seconds()
        raise TooManyAttempts(retry_after_seconds=max(1, math.ceil(seconds)))
    lock = policy.lock_after(failures)
    if lock is not None:
        session.execute(_LOCK, {**row, "until": moment + lock})
    return lock is not None


def clear(session: Session, actor: Actor, attempt: Attempt) -> None:
    """Reset the place's count after the correct password, and subtract this attempt from the other counts.

    The other counts are not reset. Otherwise attackers could sign in to their own account to get more guesses
    at others, and a user's daily sign-in would give an attacker a hundred more guesses.
    """
    require(actor, Permission.IDENTITY)
    account = _hash_account(attempt.email_key)
    if not attempt.place.is_known_browser:
        session.execute(_TAKE_BACK, {"account": "", "place": attempt.place.address})
    session.execute(_CLEAR, {"account": account, "place": attempt.place.place})
    if not attempt.place.is_known:
        session.execute(_TAKE_BACK, {"account": account, "place": ""})


def unlock_account(session: Session, actor: Actor, email_key: str) -> bool:
    """Delete all counts of the account, and return whether there were any."""
    require(actor, Permission.ADMINISTER)
    return bool(session.execute(_UNLOCK, {"account": _hash_account(email_key)}).all())


def _hash_account(email_key: str) -> str:
    """Return the hash that identifies an account. SQL in `users` computes the same hash."""
    return hashlib.sha256(email_key.encode()).hexdigest()

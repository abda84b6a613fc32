"""How often a password may be tried, for an account and from an address, whoever the account is.

An attempt is counted, and the count committed, before the password is looked at: of any number of
guesses at once no more than the allowed ones are looked at. OWASP's Authentication Cheat Sheet
(threshold, observation window, a lock that doubles) and NIST SP 800-63B 5.2.2 (limit consecutive
failures on one account) are where the policies come from. No lock is for ever: that would let
anybody lock anybody out.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from sqlalchemy import text
from sqlmodel import Session

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.errors import TooManyAttempts
from billing_app.services.shared.emails import email_key
from billing_app.services.shared.permissions import require

_DOUBLINGS_MAX = 16
# Each attempt adds two rows at most, and takes more than that of the old ones away.
_FORGOTTEN_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """The failure that fills `allowed` locks for `lock`, each further one for twice as long as before.

    The count begins anew `window` after its last failure, or after its first one.
    """

    kind: Literal["account", "address"]
    allowed: int
    lock: timedelta
    lock_max: timedelta
    window: timedelta
    since: Literal["first_at", "last_at"]

    def lock_after(self, failures: int) -> timedelta | None:
        """For how long this many failures lock; None while they don't."""
        if failures < self.allowed:
            return None
        doublings = min(failures - self.allowed, _DOUBLINGS_MAX)
        return min(self.lock * (1 << doublings), self.lock_max)


ACCOUNT = Policy(
    kind="account",
    allowed=5,
    lock=timedelta(minutes=1),
    lock_max=timedelta(minutes=15),
    window=timedelta(hours=1),
    since="last_at",
)
# An office may share one address: many more, and never for longer than they are counted.
ADDRESS = Policy(
    kind="address",
    allowed=50,
    lock=timedelta(minutes=15),
    lock_max=timedelta(minutes=15),
    window=timedelta(minutes=15),
    since="first_at",
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try at a password that is counted, and whether it locks unless the password is right."""

    email: str = field(repr=False)
    address: str
    locks_account: bool
    locks_address: bool


_SUBJECT = "encode(sha256(convert_to(:subject, 'UTF8')), 'hex')"
_COUNT = f"""
    INSERT INTO sign_in_attempt AS a (kind, subject, failures, first_at, last_at)
    VALUES (:kind, {_SUBJECT}, 1, :now, :now)
    ON CONFLICT (kind, subject) DO UPDATE SET
        failures = CASE WHEN a.{{since}} <= :forgotten THEN 1 ELSE a.failures + 1 END,
        first_at = CASE WHEN a.{{since}} <= :forgotten THEN :now ELSE a.first_at END,
        last_at = greatest(a.last_at, :now),
        locked_until = NULL
    WHERE a.locked_until IS NULL OR a.locked_until <= :now
    RETURNING failures
"""
_OF_SUBJECT = f"WHERE kind = :kind AND subject = {_SUBJECT}"
_LOCK = text(f"UPDATE sign_in_attempt SET locked_until = :until {_OF_SUBJECT}")
_LOCKED_UNTIL = text(f"SELECT locked_until FROM sign_in_attempt {_OF_SUBJECT}")
_CLEAR = text(f"DELETE FROM sign_in_attempt {_OF_SUBJECT}")
_TAKE_BACK = text(f"""
    UPDATE sign_in_attempt SET failures = greatest(failures - 1, 0), locked_until = NULL {_OF_SUBJECT}
""")
_FORGET = text("""
    DELETE FROM sign_in_attempt WHERE (kind, subject) IN (
        SELECT kind, subject FROM sign_in_attempt WHERE last_at <= :forgotten
        ORDER BY last_at LIMIT :at_most FOR UPDATE SKIP LOCKED)
""")


def count(session: Session, actor: Actor, *, email: object, address: str) -> Attempt:
    """Counts a try at the account's password, to be committed before the password is looked at.

    Raises TooManyAttempts while the account or the address is locked, also for who would be right
    and for an email that nobody has; undone then, so that what was refused does not count.
    """
    require(actor, Permission.IDENTITY)
    typed = typed_email(email)
    locks_address = _count(session, ADDRESS, _network(address))
    locks_account = _count(session, ACCOUNT, typed)
    # Last, so that nobody who waits for one of these rows holds one that this waits for.
    forgotten = now(session) - max(ACCOUNT.window, ADDRESS.window)
    session.execute(_FORGET, {"forgotten": forgotten, "at_most": _FORGOTTEN_AT_ONCE})
    return Attempt(typed, address, locks_account, locks_address)


def clear(session: Session, actor: Actor, attempt: Attempt) -> None:
    """After a right password: the account's count begins anew, the address gets this attempt back.

    Not more, or one account of one's own would buy any number of guesses at others'.
    """
    require(actor, Permission.IDENTITY)
    session.execute(_TAKE_BACK, {"kind": ADDRESS.kind, "subject": _network(attempt.address)})
    session.execute(_CLEAR, {"kind": ACCOUNT.kind, "subject": attempt.email})


def typed_email(email: object) -> str:
    """Return the normal form of a typed address; empty, which no account has, for what can't be one."""
    return email_key(email) if isinstance(email, str) else ""


def _count(session: Session, policy: Policy, subject: str) -> bool:
    """Whether this attempt, counted, locks. The row is locked from here to the commit."""
    moment = now(session)
    row = {"kind": policy.kind, "subject": subject}
    counting = text(_COUNT.format(since=policy.since))
    failures = session.scalar(counting, {**row, "now": moment, "forgotten": moment - policy.window})
    if failures is None:
        seconds = (session.execute(_LOCKED_UNTIL, row).scalar_one() - moment).total_seconds()
        raise TooManyAttempts(retry_after_seconds=max(1, math.ceil(seconds)))
    lock = policy.lock_after(failures)
    if lock is not None:
        session.execute(_LOCK, {**row, "until": moment + lock})
    return lock is not None


def _network(address: str) -> str:
    """Who an address stands for: of IPv6 the /64, which one caller has all of."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.IPv6Address(int(ip) >> 64 << 64))

"""Passwords: what a good one is, and their hashes."""

from __future__ import annotations

import functools
import secrets

import bcrypt

from billing_app.errors import Invalid

CHARACTERS_MIN = 12
# bcrypt reads no further.
BYTES_MAX = 72
# 2^12 rounds: a quarter of a second on the machines of today.
COST = 12

_COMMON = """
    123456789012 1234567890123 12345678901234 012345678901 123123123123 112233445566 111222333444
    987654321098 abcdefghijkl abcdefghijklm abcd12345678 abc123abc123 asdfghjkl123 1q2w3e4r5t6y
    1qaz2wsx3edc qwertyuiop12 qwertyuiop123 qwerty123456 qwertyqwerty qwertyuiopasdf administrator
    adminadminadmin admin1234567 admin12345678 changeme1234 changemechangeme football1234
    iloveyou1234 iloveyouiloveyou letmein12345 letmeinletmein password1234 password12345
    password123456 password123! passwordpassword p@ssw0rd1234 p@ssword1234 sunshine1234
    superman1234 trustno1trustno1 welcome12345 welcomewelcome tallybook1234 tallybooktallybook
"""


def check_rules(field: str, password: object) -> str:
    """The password itself; raises Invalid unless it is long enough, not too long and not a common one."""
    if not isinstance(password, str):
        raise Invalid(field, "must be text")
    if len(password) < CHARACTERS_MIN:
        raise Invalid(field, f"must have at least {CHARACTERS_MIN} characters", code="password_too_short")
    if len(_encoded(password)) > BYTES_MAX:
        raise Invalid(field, f"must have at most {BYTES_MAX} bytes", code="password_too_long")
    if password.casefold() in _COMMON.split() or len(set(password)) < 4:
        raise Invalid(field, "is among the first that anybody would try", code="password_too_common")
    return password


def one_time_password() -> str:
    """A password to be told once and changed at the first sign-in: 96 random bits."""
    return secrets.token_urlsafe(12)


def hash_password(password: str) -> str:
    """The bcrypt hash of a password that follows the rules."""
    return bcrypt.hashpw(_encoded(password), bcrypt.gensalt(COST)).decode()


def matches(password: object, password_hash: str | None) -> bool:
    """Whether the hash is the password's. Takes the same time for every answer.

    Without a hash, for nobody's account, it is compared with one that nothing matches.
    """
    encoded = _encoded(password) if isinstance(password, str) else b""
    same = bcrypt.checkpw(encoded[:BYTES_MAX], (password_hash or hash_of_nothing()).encode())
    return same and password_hash is not None and len(encoded) <= BYTES_MAX


def _encoded(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


@functools.cache
def hash_of_nothing() -> str:
    """What a password for nobody's account is compared with."""
    return hash_password(secrets.token_urlsafe())

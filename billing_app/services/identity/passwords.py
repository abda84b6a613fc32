"""Passwords: the rules for new ones, and their hashes."""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

import bcrypt

from billing_app.errors import Invalid

CHARACTERS_MIN = 12
# bcrypt ignores every byte after these.
BYTES_MAX = 72
# 2^12 rounds take about a quarter of a second.
COST = 12

# How many characters must remain without the words that an attacker would try first for this account.
_REMAINING_CHARACTERS_MIN = 8
_SERVICE = "tallybook"
_WORD_CHARACTERS_MIN = 4


def check_rules(field: str, password: object, *, account_words: Sequence[str] = ()) -> str:
    """Return the password if it follows the rules. Raises Invalid.

    It must be long enough, short enough for bcrypt, and not easy to guess. As NIST SP 800-63B section
    5.1.1.2 recommends, there are no rules about kinds of characters. Instead, common passwords are rejected,
    even with digits and punctuation around them. So are passwords that consist mostly of the product's name
    or of `account_words`, the user's email and name.
    """
    if not isinstance(password, str):
        raise Invalid(field, "not_text")
    if len(password) < CHARACTERS_MIN:
        raise Invalid(field, "password_too_short", code="password_too_short", at_least=CHARACTERS_MIN)
    if len(_encode(password)) > BYTES_MAX:
        raise Invalid(field, "password_too_long", code="password_too_long", at_most=BYTES_MAX)
    if _is_common(password) or len(_remove_words(password, account_words)) < _REMAINING_CHARACTERS_MIN:
        raise Invalid(field, "password_too_common", code="password_too_common")
    return password


def _is_common(password: str) -> bool:
    folded = password.casefold()
    word = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", folded)
    return len(set(folded)) < 4 or not common_passwords().isdisjoint({folded, word, _repeated_part(folded)})


def _repeated_part(text: str) -> str:
    """Return the part that the text repeats: `tokyo` for `tokyotokyo`. Return other text unchanged."""
    return text[: (text + text).index(text, 1)]


def _remove_words(password: str, account_words: Sequence[str]) -> str:
    """Return the password without the product's name and the words that belong to the account."""
    words = {word for each in (_SERVICE, *account_words) for word in re.split(r"[\W_]+", each.casefold())}
    remaining = password.casefold()
    for word in sorted(words, key=len, reverse=True):
        if len(word) >= _WORD_CHARACTERS_MIN:
            remaining = remaining.replace(word, "")
    return remaining


@functools.cache
def common_passwords() -> frozenset[str]:
    """Return the list of common passwords, in lower case."""
    lines = Path(__file__).with_name("common_passwords.txt").read_text().splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def one_time_password() -> str:
    """Return a password with 96 random bits, which must be changed at the first sign-in."""
    return secrets.token_urlsafe(12)


def hash_password(password: str) -> str:
    """Return the bcrypt hash of a password that follows the rules."""
    return bcrypt.hashpw(_encode(password), bcrypt.gensalt(COST)).decode()


def matches(password: object, password_hash: str | None) -> bool:
    """Return whether the password matches the hash, in constant time.

    If there is no hash because the account does not exist, the password is compared with one that nothing
    matches.
    """
    encoded = _encode(password) if isinstance(password, str) else b""
    is_same = bcrypt.checkpw(encoded[:BYTES_MAX], (password_hash or unmatched_hash()).encode())
    return is_same and password_hash is not None and len(encoded) <= BYTES_MAX


def _encode(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


@functools.cache
def unmatched_hash() -> str:
    """Return the hash that a password for an account that does not exist is compared with."""
    return hash_password(secrets.token_urlsafe())

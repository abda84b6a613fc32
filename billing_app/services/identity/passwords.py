"""Passwords: what a good one is, and their hashes."""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

import bcrypt

from billing_app.errors import Invalid

CHARACTERS_MIN = 12
# bcrypt reads no further.
BYTES_MAX = 72
# 2^12 rounds: a quarter of a second on the machines of today.
COST = 12

# What a password must have besides the words that anybody would try for this account.
_OWN_CHARACTERS_MIN = 8
_SERVICE = "tallybook"
_WORD_CHARACTERS_MIN = 4


def check_rules(field: str, password: object, *, about: Sequence[str] = ()) -> str:
    """The password itself; raises Invalid unless it is long enough, not too long and no likely guess.

    As in NIST SP 800-63B 5.1.1.2, no rules about kinds of characters: what is refused is a common
    password, also with digits and signs around it, and one that is little more than the name of
    the service or the words in `about`, the email and the name of whose it is.
    """
    if not isinstance(password, str):
        raise Invalid(field, "not_text")
    if len(password) < CHARACTERS_MIN:
        raise Invalid(field, "password_too_short", code="password_too_short", at_least=CHARACTERS_MIN)
    if len(_encoded(password)) > BYTES_MAX:
        raise Invalid(field, "password_too_long", code="password_too_long", at_most=BYTES_MAX)
    if _is_common(password) or len(_without(password, about)) < _OWN_CHARACTERS_MIN:
        raise Invalid(field, "password_too_common", code="password_too_common")
    return password


def _is_common(password: str) -> bool:
    folded = password.casefold()
    word = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", folded)
    return len(set(folded)) < 4 or not common_passwords().isdisjoint({folded, word, _repeated(folded)})


def _repeated(text: str) -> str:
    """What the text is a repetition of: `tokyotokyo` -> `tokyo`; itself when it is none."""
    return text[: (text + text).index(text, 1)]


def _without(password: str, about: Sequence[str]) -> str:
    """What is left of the password without the words that belong to the account."""
    words = {word for each in (_SERVICE, *about) for word in re.split(r"[\W_]+", each.casefold())}
    left = password.casefold()
    for word in sorted(words, key=len, reverse=True):
        if len(word) >= _WORD_CHARACTERS_MIN:
            left = left.replace(word, "")
    return left


@functools.cache
def common_passwords() -> frozenset[str]:
    """The passwords of the list, in lower case."""
    lines = Path(__file__).with_name("common_passwords.txt").read_text().splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


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

"""Customer keys: given by the caller, or generated from the name."""

from __future__ import annotations

import itertools
import re
import secrets
import unicodedata
from collections.abc import Iterator

from billing_app.errors import Invalid
from billing_app.models.customer import KEY_PATTERN

_FORM = re.compile(KEY_PATTERN.removesuffix("$"), re.ASCII)
_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[^a-z0-9]+")
# A key has at most 63 characters, and this leaves room for a suffix.
_SLUG_MAX = 48
_NUMBERED_KEYS = 20


def parse_key(value: object) -> str:
    """Return the key unchanged. Raises Invalid (`key`) if it is malformed."""
    if not isinstance(value, str) or not _FORM.fullmatch(value):
        raise Invalid("key", "not_a_key")
    if value.lower().startswith("cus_"):
        raise Invalid("key", "looks_like_an_id")
    return value


def generate_keys(name: str) -> Iterator[str]:
    """Yield keys for a name, without end: `acme`, `acme-2`, ..., `acme-5f3a9c21`, ..."""
    slug = _slug(name)
    yield slug
    for number in range(2, _NUMBERED_KEYS):
        yield f"{slug}-{number}"
    for _ in itertools.count():
        yield f"{slug}-{secrets.token_hex(4)}"


def _slug(name: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return _NEITHER_LETTER_NOR_DIGIT.sub("-", ascii_only).strip("-")[:_SLUG_MAX].rstrip("-") or "customer"

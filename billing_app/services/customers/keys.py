"""The key of a customer: the caller's own id for it, or one made from the name."""

from __future__ import annotations

import itertools
import re
import secrets
import unicodedata
from collections.abc import Iterator

from billing_app.errors import Invalid
from billing_app.models.customer import KEY_PATTERN

_FORM = re.compile(KEY_PATTERN.removesuffix("$"), re.ASCII)
_OTHERS = re.compile(r"[^a-z0-9]+")
# Leaves room for a suffix within the 63 characters of a key.
_SLUG_MAX = 48
_NUMBERED_TRIES = 20


def parse_key(value: object) -> str:
    """A key as given; raises Invalid unless it has the form of one."""
    if not isinstance(value, str) or not _FORM.fullmatch(value):
        raise Invalid("key", "not_a_key")
    if value.lower().startswith("cus_"):
        raise Invalid("key", "looks_like_an_id")
    return value


def keys_from(name: str) -> Iterator[str]:
    """Keys for a name, the nicest first, without end: `acme`, `acme-2`, ..., `acme-5f3a9c21`, ..."""
    slug = _slug(name)
    yield slug
    for number in range(2, _NUMBERED_TRIES):
        yield f"{slug}-{number}"
    for _ in itertools.count():
        yield f"{slug}-{secrets.token_hex(4)}"


def _slug(name: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return _OTHERS.sub("-", ascii_only).strip("-")[:_SLUG_MAX].rstrip("-") or "customer"

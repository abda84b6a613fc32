"""The normal form in which email addresses are compared, for users and customers alike."""

from __future__ import annotations

import unicodedata

import email_validator

# Invisible characters that normalization keeps, besides format characters: the combining grapheme joiner,
# fillers, and variation selectors.
_UNSEEN = (
    range(0x034F, 0x0350),
    range(0x115F, 0x1161),
    range(0x17B4, 0x17B6),
    range(0x180B, 0x1810),
    range(0x3164, 0x3165),
    range(0xFE00, 0xFE10),
    range(0xFFA0, 0xFFA1),
    range(0xE0000, 0xE1000),
)

# A private installation may use addresses such as `ada@billing.local`.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


def is_email(address: str) -> bool:
    """Return whether the text is an email address. Whether mail can be delivered to it is not checked."""
    return _parse(address) is not None


def email_key(address: str) -> str:
    """Return the normal form of an email address: two addresses are the same exactly when their forms are.

    Letter case, Unicode composition and compatibility forms don't matter, and a domain name equals
    its IDNA form (`xn--...`). Everything is computed here rather than in the database, so the result
    does not depend on the database's locale. The form of text that is not an email address is empty.
    """
    parsed = _parse(address.strip())
    if parsed is None or not parsed.ascii_domain:
        return ""
    return f"{_fold(parsed.local_part)}@{parsed.ascii_domain.lower()}"


def _parse(address: str) -> email_validator.ValidatedEmail | None:
    try:
        return email_validator.validate_email(address, check_deliverability=False, globally_deliverable=False)
    except email_validator.EmailNotValidError:
        return None


def _fold(text: str) -> str:
    """Return Unicode's NFKC_Casefold of the text (The Unicode Standard, section 3.13)."""
    folded = unicodedata.normalize("NFD", text).casefold()
    folded = unicodedata.normalize("NFKC", folded).casefold()
    visible = "".join(character for character in folded if not _is_unseen(character))
    return unicodedata.normalize("NFKC", visible)


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) == "Cf" or any(ord(character) in unseen for unseen in _UNSEEN)

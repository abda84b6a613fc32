"""Which characters text may contain: visible ones, in any script.

Invisible characters can make two different names look the same, or reverse the text after them.
"""

from __future__ import annotations

import unicodedata

from billing_app.domain.rules import BrokenRule

# Control characters, and separators of lines and paragraphs.
_CONTROLS = ("Cc", "Zl", "Zp")
# Persian, Hindi and many other languages need joiners between letters. Emoji use them too.
_JOINERS = "\u200c\u200d"
# Visible signs that Unicode classifies as format characters, such as the Arabic year sign.
_PRINTED_FORMATS = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
# Invisible characters that Unicode classifies as letters or symbols: Hangul fillers, the blank Braille
# pattern.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\ufffc\U0001d159")
# Unassigned code points that Unicode defines as ignorable, and its noncharacters.
_UNDRAWN = (range(0x2065, 0x2066), range(0xFDD0, 0xFDF0), range(0xFFF0, 0xFFF9), range(0xE0000, 0xE1000))


def check_characters(text: str, *, line_breaks: bool = False) -> None:
    """Raise BrokenRule if the text contains an invisible character or nothing visible.

    Joiners and variation selectors are allowed next to visible characters, and line breaks if `line_breaks`
    is set. The empty string is allowed.
    """
    if text.isascii() and text.isprintable():
        is_visible = not text or not text.isspace()
    else:
        for character in text:
            if not (line_breaks and character == "\n"):
                _check_character(character)
        is_visible = any(map(_is_visible, text))
    if text and not is_visible:
        raise BrokenRule("nothing_visible")


def remove_invisible(text: str) -> str:
    """Return the text without the format characters that `check_characters` rejects.

    For documents: text that was stored before this rule existed must not reverse what follows it.
    """
    return "".join(character for character in text if not _is_unseen_format(character))


def reveal_invisible(text: str) -> str:
    """Return the text with the code of each character that `check_characters` refuses in its place.

    For text that was rejected, which must show why without turning around the text after it.
    """
    return "".join(_reveal(character) for character in text)


def _reveal(character: str) -> str:
    is_control = unicodedata.category(character) in _CONTROLS
    return f"[U+{ord(character):04X}]" if is_control or _is_unseen_format(character) else character


def _check_character(character: str) -> None:
    category = unicodedata.category(character)
    if category == "Cs":
        raise BrokenRule("malformed_unicode")
    if category in _CONTROLS:
        raise BrokenRule("control_characters")
    if _is_unseen_format(character):
        name = unicodedata.name(character, "unnamed").lower()
        raise BrokenRule("invisible_character", character=f"U+{ord(character):04X}", name=name)


def _is_unseen_format(character: str) -> bool:
    """Return whether this is an invisible format character other than a joiner."""
    is_format = unicodedata.category(character) == "Cf"
    return is_format and character not in _JOINERS and character not in _PRINTED_FORMATS


def _is_visible(character: str) -> bool:
    """Return whether the character is visible. Unassigned ones may be: fonts are newer than this table."""
    category = unicodedata.category(character)
    if category == "Cn":
        number = ord(character)
        return number & 0xFFFE != 0xFFFE and not any(number in unseen for unseen in _UNDRAWN)
    if category == "Cf":
        return character in _PRINTED_FORMATS
    return category[0] in "LNPS" and character not in _BLANK

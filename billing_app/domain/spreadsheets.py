"""Text in CSV cells that is safe to open in a spreadsheet and comes back unchanged.

A spreadsheet runs a cell that starts with `=` and the like as a formula. An apostrophe in front
prevents that. Text that itself starts with an apostrophe gets one as well, so that removing the
first apostrophe restores every text exactly.
"""

from __future__ import annotations

# Excel ignores tabs and carriage returns in front of a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_ESCAPED_STARTS = (*FORMULA_STARTS, "'")
_ESCAPES = tuple(f"'{start}" for start in _ESCAPED_STARTS)


def escape_cell(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run, or that starts with an apostrophe."""
    return f"'{text}" if text.startswith(_ESCAPED_STARTS) else text


def unescape_cell(text: str) -> str:
    """Undo `escape_cell`. Any other apostrophe is part of the text."""
    return text[1:] if text.startswith(_ESCAPES) else text

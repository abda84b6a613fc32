"""Parse numbers in the notation of the user's browser, and show how they were understood.

In German, `1.000` is a thousand and `1,5` is one and a half; in American English, it is the other way round.
The browser sends its notation in a cookie. A number that doesn't fit this notation is rejected with an
example, never guessed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import unquote

import reflex as rx

from billing_app.domain.money import (
    parse_amount_minor,
    parse_percent,
    parse_quantity,
    parse_unit_price,
    to_major,
)
from billing_app.domain.rules import BrokenRule
from billing_app.errors import Invalid
from billing_app.services.shared import validation
from billing_app.state.kit import text
from billing_app.state.kit.forms import read_text
from billing_app.web import cookie_value
from billing_app.wording.rules import rule_sentence

COOKIE = "tallybook_numbers"
TYPED_MAX = 60
_FIELDS_MAX = 100
# Spaces and apostrophes are accepted as digit separators in every locale, because they are unambiguous.
_SPACES = re.compile("[ \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}]")
_APOSTROPHES = re.compile("['\N{RIGHT SINGLE QUOTATION MARK}]")
_ALWAYS_GROUPING = (" ", "'")


class Notation(NamedTuple):
    """How a locale writes numbers: the decimal mark and the digit group separator."""

    decimal: str = "."
    group: str = ","

    @property
    def example(self) -> str:
        """A number that shows both marks, `1,234.56`."""
        return f"1{self.group}234{self.decimal}56"

    def read(self, typed: str) -> str:
        """Return the typed number as a plain decimal string: `1.000,5` as `1000.5`.

        Raises BrokenRule (`not_a_local_number`) for anything that doesn't fit this notation.
        """
        unified = _unify(typed.strip())
        if not unified:
            raise BrokenRule("missing")
        found = _pattern(self).fullmatch(unified) if len(unified) <= TYPED_MAX else None
        if found is None or not (found["whole"] or found["fraction"]):
            raise BrokenRule("not_a_local_number", example=self.example)
        whole = re.sub("[^0-9]", "", found["whole"]) or "0"
        return found["sign"] + whole + (f".{found['fraction']}" if found["fraction"] else "")

    def write(self, number: str) -> str:
        """Return a plain decimal string in this notation, without grouping: `29.00` as `29,00`."""
        return number.replace(".", self.decimal)


def _unify(typed: str) -> str:
    """Replace every kind of space, apostrophe and minus sign with one character."""
    spaced = _APOSTROPHES.sub("'", _SPACES.sub(" ", typed))
    return spaced.replace("\N{MINUS SIGN}", "-")


@functools.lru_cache(maxsize=32)
def _pattern(notation: Notation) -> re.Pattern[str]:
    """Compile the form of a number. Grouped digits don't start with a zero, so `0,001` is not one."""
    decimal, group = _unify(notation.decimal), _unify(notation.group)
    groups = {group, *_ALWAYS_GROUPING} - {"", decimal}
    # Groups of two occur in India: 12,34,567.
    grouped = (f"[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{2,3}})*{mark}[0-9]{{3}}" for mark in map(re.escape, groups))
    whole = "|".join((*grouped, "[0-9]*"))
    return re.compile(f"(?P<sign>-?)(?P<whole>{whole})(?:{re.escape(decimal)}(?P<fraction>[0-9]*))?")


AMERICAN = Notation()


def parse_notation(cookie: str) -> Notation:
    """Return the notation in a cookie, which has the two marks. The default is American English."""
    marks = unquote(cookie)
    if len(marks) not in (1, 2) or any(mark.isalnum() or mark in "-+" for mark in marks):
        return AMERICAN
    decimal, group = marks[0], marks[1:]
    return Notation(decimal, group or " ") if decimal != group else AMERICAN


def viewer_notation(state: rx.State) -> Notation:
    """Return the notation that the viewer's browser uses."""
    return parse_notation(cookie_value(state.router.headers.cookie, COOKIE))


def read_decimal(state: rx.State, form: object, name: str) -> str:
    """Return a number of a form as a plain decimal string. Raises Invalid."""
    return validation.parsed(name, viewer_notation(state).read, read_text(form, name))


# How a number is explained, by the kind of the field.


def _included(number: str, currency: str) -> str:
    return f"{_units(number, 'included unit')} a month"


def _quantity(number: str, currency: str) -> str:
    return _units(number, "unit")


def _number(number: str, currency: str) -> str:
    return text.quantity(parse_quantity(number))


def _units(number: str, noun: str) -> str:
    quantity = parse_quantity(number)
    return f"{text.quantity(quantity)} {noun if quantity == 1 else f'{noun}s'}"


def _monthly_price(number: str, currency: str) -> str:
    return f"{_amount(number, currency)} a month"


def _amount(number: str, currency: str) -> str:
    return text.exact_money(to_major(parse_amount_minor(number, currency), currency), currency)


def _unit_price(number: str, currency: str) -> str:
    price: Decimal = parse_unit_price(number)
    return f"{text.exact_money(price, currency)} per unit"


def _percent(number: str, currency: str) -> str:
    return f"{text.quantity(parse_percent(number))}% off"


_KINDS: Mapping[str, Callable[[str, str], str]] = {
    "included": _included,
    "quantity": _quantity,
    "number": _number,
    "monthly_price": _monthly_price,
    "unit_price": _unit_price,
    "amount": _amount,
    "percent": _percent,
}


def explain(kind: str, notation: Notation, typed: str, currency: str) -> str:
    """Return what a typed number means, such as `1,000 included units a month`.

    Raises Invalid for a number that can't be saved. Returns an empty text while the currency is being typed.
    """
    number = validation.parsed(kind, notation.read, typed)
    try:
        return _KINDS[kind](number, currency)
    except BrokenRule as broken:
        if broken.rule == "not_a_currency":
            return ""
        raise Invalid.from_rule(kind, broken) from None


class _Typed(NamedTuple):
    """The latest text of a field."""

    name: str
    kind: str
    value: str


class NumbersState(rx.State):
    """Explanations of the numbers in the open dialog, shown before they are saved.

    `opened` identifies the opening of the dialog that the values belong to.
    """

    opened: str = ""
    understood: rx.Field[dict[str, str]] = rx.field(default_factory=dict)
    problems: rx.Field[dict[str, str]] = rx.field(default_factory=dict)
    _typed: tuple[_Typed, ...] = ()
    _currency: str = ""

    @rx.event
    def read(self, opened: str, name: str, kind: str, currency: str, value: str) -> None:
        """Show how a field was understood. `currency` is the form's initial one, unless another was typed."""
        self._start(opened)
        if kind not in _KINDS or len(self._typed) > _FIELDS_MAX:
            return
        others = tuple(each for each in self._typed if each.name != name)
        self._typed = (*others, _Typed(name, kind, str(value)))
        self._currency = self._currency or currency
        self._explain()

    @rx.event
    def read_currency(self, opened: str, value: str) -> None:
        """Show the prices in the currency that was typed."""
        self._start(opened)
        self._currency = str(value).strip()
        self._explain()

    def _start(self, opened: str) -> None:
        """Discard the values of another opening."""
        if opened != self.opened:
            self.opened, self._typed, self._currency = opened, (), ""

    def _explain(self) -> None:
        notation = viewer_notation(self)
        understood, problems = {}, {}
        for name, kind, value in self._typed:
            if not value.strip():
                continue
            try:
                understood[name] = explain(kind, notation, value, self._currency)
            except Invalid as error:
                problems[name] = rule_sentence(error.errors[0])
        self.understood, self.problems = understood, problems

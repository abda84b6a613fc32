"""Exact money: what parsers accept, and the one rounding rule."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_app.domain.currencies import EXPONENTS, exponent
from billing_app.domain.money import (
    major_text,
    parse_amount_minor,
    parse_quantity,
    parse_unit_price,
    plain,
    round_half_up,
    to_major,
)
from billing_app.domain.rules import BrokenRule
from tests.domain.months import ALL_CURRENCIES, any_quantities, any_unit_prices, decimals


@pytest.mark.parametrize(
    ("exact", "currency", "minor"),
    [
        ("6.625", "USD", 663),
        ("6.624999999999999999", "USD", 662),
        ("0.005", "USD", 1),
        ("0.0049999", "USD", 0),
        ("-0.005", "USD", -1),
        ("-0.015", "USD", -2),
        ("0.5", "JPY", 1),
        ("1.5", "JPY", 2),
        ("2.5", "JPY", 3),
        ("2.4999", "JPY", 2),
        ("0.0005", "KWD", 1),
        ("1.2345", "KWD", 1235),
        ("1.00005", "CLF", 10001),
    ],
)
def test_halves_round_away_from_zero(exact: str, currency: str, minor: int) -> None:
    assert round_half_up(Decimal(exact), currency) == minor


@given(decimals(28, 18), st.sampled_from([1, -1]), ALL_CURRENCIES)
def test_amount_is_rounded_to_the_nearest_minor_unit(magnitude: Decimal, sign: int, currency: str) -> None:
    scaled = Fraction(magnitude) * 10 ** exponent(currency)
    expected = (scaled + Fraction(1, 2)).__floor__() * sign
    exact = magnitude if sign > 0 else magnitude.copy_negate()
    assert round_half_up(exact, currency) == expected


@given(any_unit_prices, any_quantities, ALL_CURRENCIES)
def test_callers_decimal_context_has_no_effect(price: Decimal, quantity: Decimal, currency: str) -> None:
    with localcontext() as wide:
        wide.prec = 100
        exact = price * quantity
    expected = round_half_up(exact, currency)
    with localcontext() as narrow:
        narrow.prec = 3
        assert round_half_up(exact, currency) == expected
        assert parse_amount_minor("123456.00", currency) == 123456 * 10 ** exponent(currency)
        assert plain(parse_quantity(quantity)) == plain(quantity)


@given(st.integers(-(10**24), 10**24), ALL_CURRENCIES)
def test_minor_and_major_units_are_the_same_amount(minor: int, currency: str) -> None:
    text = major_text(minor, currency)
    assert Fraction(text) == Fraction(minor, 10 ** exponent(currency))
    assert len(text.partition(".")[2]) == exponent(currency)
    assert round_half_up(to_major(minor, currency), currency) == minor


@given(st.integers(0, 10**17), ALL_CURRENCIES)
def test_amount_is_parsed_back_as_it_was_written(minor: int, currency: str) -> None:
    assert parse_amount_minor(major_text(minor, currency), currency) == minor


@given(any_quantities)
def test_quantity_is_parsed_exactly_and_written_one_way(quantity: Decimal) -> None:
    assert parse_quantity(format(quantity, "f")) == quantity
    assert parse_quantity(quantity) == quantity
    text = plain(quantity)
    assert Decimal(text) == quantity
    assert text == plain(quantity * 10 / 10) == plain(parse_quantity(text))
    assert "E" not in text


@pytest.mark.parametrize(
    ("value", "quantity"),
    [
        ("1e3", "1000"),
        ("1E-6", "0.000001"),
        (5, "5"),
        ("5.0000000000", "5"),
        ("-0", "0"),
        (" 7 ", "7"),
        ("+1", "1"),
    ],
)
def test_notations_of_a_number(value: Any, quantity: str) -> None:
    assert plain(parse_quantity(value)) == quantity


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "x", "1,5", "1_000", "0x10", "1.2.3", "NaN", "sNaN", "Infinity", "-inf", "-1", "-0.000001",
        "0.0000001", "1." + "0" * 40 + "1", "1e-400", "1e400", "100000000000000", "9" * 61, 1.0, float("nan"), True, None, b"1", [], object(),
        Decimal("NaN"), Decimal(-1), Decimal("0.0000001"),
    ],
)  # fmt: skip
def test_invalid_quantity_is_rejected(value: Any) -> None:
    with pytest.raises(BrokenRule):
        parse_quantity(value)


@pytest.mark.parametrize(
    "text",
    [
        "\N{ARABIC-INDIC DIGIT THREE}",
        "\N{EXTENDED ARABIC-INDIC DIGIT THREE}",
        "\N{FULLWIDTH DIGIT THREE}",
        "\N{DEVANAGARI DIGIT THREE}",
        "\N{MATHEMATICAL BOLD DIGIT THREE}",
        "\N{SUPERSCRIPT TWO}",
        "1\N{FULLWIDTH DIGIT THREE}.5",
        "1.\N{ARABIC-INDIC DIGIT THREE}",
        "1e\N{FULLWIDTH DIGIT THREE}",
        "3\N{NO-BREAK SPACE}",
        "3\N{FULLWIDTH FULL STOP}5",
        "\N{MINUS SIGN}0",
    ],
)
def test_only_ascii_characters_make_a_number(text: str) -> None:
    for parse in (parse_quantity, parse_unit_price, lambda value: parse_amount_minor(value, "USD")):
        with pytest.raises(BrokenRule, match="not_a_number"):
            parse(text)


def test_quantity_and_price_have_a_largest_value() -> None:
    assert parse_quantity("99999999999999.999999") < 10**14
    assert parse_unit_price("99999999.999999999999") < 10**8
    with pytest.raises(BrokenRule, match="too_many_digits") as refused:
        parse_unit_price("100000000")
    assert refused.value.facts == {"digits": 8}


def test_amount_has_no_more_decimals_than_its_currency() -> None:
    assert parse_amount_minor("7.00", "JPY") == 7
    assert parse_amount_minor("7.5", "USD") == 750
    assert parse_amount_minor("0.001", "KWD") == 1
    for amount, currency in (("7.5", "JPY"), ("7.005", "USD"), ("0.0001", "KWD")):
        with pytest.raises(BrokenRule, match="too_many_decimals"):
            parse_amount_minor(amount, currency)


@given(st.text(max_size=70))
def test_any_text_is_a_quantity_or_breaks_a_rule(text: str) -> None:
    try:
        number = parse_quantity(text)
    except BrokenRule:
        return
    assert 0 <= number < 10**14
    assert number == number.quantize(Decimal("0.000001"))


def test_currencies_have_their_iso_decimals() -> None:
    assert {code: exponent(code) for code in ("USD", "EUR", "JPY", "KWD", "CLF")} == {
        "USD": 2, "EUR": 2, "JPY": 0, "KWD": 3, "CLF": 4,
    }  # fmt: skip
    assert all(len(code) == 3 and code.isupper() and code.isascii() for code in EXPONENTS)
    for unknown in ("usd", "XXX", "XAU", "", "US"):
        with pytest.raises(BrokenRule, match="not_a_currency"):
            exponent(unknown)

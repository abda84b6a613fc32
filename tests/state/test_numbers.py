"""Typed numbers are parsed in the viewer's notation, or rejected with an example, never guessed."""

from __future__ import annotations

import pytest

from billing_app.domain.rules import BrokenRule
from billing_app.errors import Invalid
from billing_app.state.kit.numbers import AMERICAN, Notation, explain, parse_notation
from billing_app.wording.rules import rule_sentence

GERMAN, FRENCH, SWISS, INDIAN = Notation(",", "."), Notation(",", "\u202f"), Notation(".", "’"), AMERICAN


@pytest.mark.parametrize(
    ("notation", "typed", "number"),
    [
        (AMERICAN, "1,000", "1000"),
        (AMERICAN, "1.000", "1.000"),
        (AMERICAN, "1,234,567.89", "1234567.89"),
        (AMERICAN, " .5 ", "0.5"),
        (AMERICAN, "007", "007"),
        (AMERICAN, "1 000", "1000"),
        (AMERICAN, "-3", "-3"),
        (AMERICAN, "\N{MINUS SIGN}3", "-3"),
        (GERMAN, "1.000", "1000"),
        (GERMAN, "1,5", "1.5"),
        (GERMAN, "1.234.567,89", "1234567.89"),
        (GERMAN, "0,001", "0.001"),
        (GERMAN, "1000", "1000"),
        (FRENCH, "1 234,56", "1234.56"),
        (FRENCH, "1\u202f234,56", "1234.56"),
        (FRENCH, "1\u00a0234", "1234"),
        (SWISS, "1’234.50", "1234.50"),
        (SWISS, "1'234'567", "1234567"),
        (INDIAN, "12,34,567", "1234567"),
    ],
)
def test_number_is_read_in_the_viewers_notation(notation: Notation, typed: str, number: str) -> None:
    assert notation.read(typed) == number


@pytest.mark.parametrize(
    ("notation", "typed"),
    [
        (AMERICAN, "1,5"),
        (AMERICAN, "0,001"),
        (AMERICAN, "1.000,5"),
        (AMERICAN, "1.000.000"),
        (AMERICAN, "1,0000"),
        (AMERICAN, "1,000 000"),
        (GERMAN, "1.5"),
        (GERMAN, "29.00"),
        (GERMAN, "0.125"),
        (GERMAN, "1,000,000"),
        (FRENCH, "1.000"),
        (FRENCH, "1.5"),
        (SWISS, "1,5"),
        (SWISS, "1,000"),
        (AMERICAN, "1e3"),
        (AMERICAN, "NaN"),
        (AMERICAN, "$29"),
        (AMERICAN, "\u0663"),
        (AMERICAN, "\uff11"),
        (AMERICAN, "."),
        (AMERICAN, "-"),
        (AMERICAN, "9" * 61),
    ],
)
def test_ambiguous_number_is_refused_with_an_example(notation: Notation, typed: str) -> None:
    with pytest.raises(BrokenRule) as caught:
        notation.read(typed)
    assert (caught.value.rule, caught.value.facts) == ("not_a_local_number", {"example": notation.example})


def test_example_shows_both_marks() -> None:
    assert [each.example for each in (AMERICAN, GERMAN, SWISS)] == ["1,234.56", "1.234,56", "1’234.56"]


@pytest.mark.parametrize(
    ("cookie", "notation"),
    [
        (".%2C", AMERICAN),
        ("%2C.", GERMAN),
        ("%2C%E2%80%AF", FRENCH),
        (".%E2%80%99", SWISS),
        ("%2C", Notation(",", " ")),
        ("", AMERICAN),
        ("..", AMERICAN),
        ("12", AMERICAN),
        ("a,", AMERICAN),
        ("%2C.%2C", AMERICAN),
    ],
)
def test_notation_comes_from_the_browsers_cookie(cookie: str, notation: Notation) -> None:
    assert parse_notation(cookie) == notation


def test_written_number_reads_back() -> None:
    assert GERMAN.write("29.00") == "29,00"
    for notation in (AMERICAN, GERMAN, FRENCH, SWISS):
        assert notation.read(notation.write("1234.0125")) == "1234.0125"


@pytest.mark.parametrize(
    ("kind", "typed", "understood"),
    [
        ("included", "1", "1 included unit a month"),
        ("included", "1.000", "1,000 included units a month"),
        ("quantity", "1,5", "1.5 units"),
        ("monthly_price", "29", "$29.00 a month"),
        ("unit_price", "0,0125", "$0.0125 per unit"),
        ("amount", "1.234,5", "$1,234.50"),
    ],
)
def test_explanation_says_what_was_understood(kind: str, typed: str, understood: str) -> None:
    assert explain(kind, GERMAN, typed, "USD") == understood


@pytest.mark.parametrize(
    ("kind", "typed", "sentence"),
    [
        ("quantity", "1.5", "Must be a number written like 1.234,56."),
        ("quantity", "-1", "Must be zero or more."),
        ("monthly_price", "29,001", "Must have at most 2 decimals."),
    ],
)
def test_explanation_says_what_is_wrong(kind: str, typed: str, sentence: str) -> None:
    with pytest.raises(Invalid) as caught:
        explain(kind, GERMAN, typed, "USD")
    assert rule_sentence(caught.value.errors[0]) == sentence


def test_currency_that_is_still_being_typed_explains_nothing() -> None:
    assert explain("monthly_price", AMERICAN, "29", "US") == ""

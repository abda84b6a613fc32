"""Exact amounts that a share of a month can leave without an end as a decimal, such as 493/31."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from billing_app.domain.currencies import exponent
from billing_app.domain.money import EXACT, plain, round_half_up, round_quotient


class ExactAmount(NamedTuple):
    """An amount in major units, `numerator / denominator`. Whoever needs it as one number rounds it, once."""

    numerator: Decimal
    denominator: int = 1

    def rounded(self, currency: str) -> int:
        """Round to minor units, halves away from zero."""
        if self.denominator == 1:
            return round_half_up(self.numerator, currency)
        return int(round_quotient(self.numerator.scaleb(exponent(currency), EXACT), self.denominator))

    def over(self, denominator: int) -> Decimal:
        """Return the numerator over a multiple of the denominator."""
        return EXACT.multiply(self.numerator, Decimal(denominator // self.denominator))

    def text(self) -> str:
        """Write it as a decimal if it has an end (`"14.5"`), otherwise as a fraction (`"493/31"`)."""
        value = Fraction(self.numerator) / self.denominator
        rest = value.denominator
        for prime in (2, 5):
            while rest % prime == 0:
                rest //= prime
        if rest != 1:
            return f"{value.numerator}/{value.denominator}"
        return plain(EXACT.divide(Decimal(value.numerator), Decimal(value.denominator)))


NOTHING = ExactAmount(Decimal(0))

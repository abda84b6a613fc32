"""What discounts take from a month's bill, one after another."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Literal, NamedTuple

from billing_app.domain.exact_amounts import ExactAmount
from billing_app.domain.money import EXACT, to_major

Part = Literal["base", "usage"]
AppliesTo = Literal["all", "base", "usage"]
PARTS: tuple[Part, Part] = ("base", "usage")

_PERCENT = Decimal("0.01")


class Discount(NamedTuple):
    """A discount of one customer: either a `percent` or an `amount_minor`. Lower numbers apply first.

    It applies to the months from `first_period` to `last_period`, which is None while it has no end.
    """

    number: int
    name: str
    percent: Decimal | None
    amount_minor: int | None
    applies_to: AppliesTo
    first_period: date
    last_period: date | None

    def covers(self, period_start: date) -> bool:
        """Whether it applies to a month."""
        return self.first_period <= period_start and (
            self.last_period is None or period_start <= self.last_period
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of a bill that it applies to, in the order in which it takes from them."""
        return PARTS if self.applies_to == "all" else (self.applies_to,)


class DiscountPart(NamedTuple):
    """What a discount takes from one part of a bill. The amounts are negative or zero.

    `discounted_minor` is what earlier discounts left of the part. `available_minor` is, for a discount with
    an amount, what it has not yet taken from another part.
    """

    discount: Discount
    part: Part
    discounted_minor: int
    available_minor: int | None
    exact_amount: ExactAmount
    amount_minor: int


def apply_discounts(
    discounts: Iterable[Discount], base_minor: int, usage_minor: int, currency: str
) -> tuple[DiscountPart, ...]:
    """Apply discounts, which are in the order of their numbers, to the two parts of a bill."""
    left = {"base": base_minor, "usage": usage_minor}
    applied: list[DiscountPart] = []
    for discount in discounts:
        available_minor = discount.amount_minor
        for part in discount.parts:
            taken = _take(discount, part, left[part], available_minor, currency)
            left[part] += taken.amount_minor
            if available_minor is not None:
                available_minor += taken.amount_minor
            applied.append(taken)
    return tuple(applied)


def _take(
    discount: Discount, part: Part, left_minor: int, available_minor: int | None, currency: str
) -> DiscountPart:
    if available_minor is None:
        assert discount.percent is not None
        share = EXACT.multiply(discount.percent, _PERCENT)
        exact_amount = ExactAmount(-EXACT.multiply(to_major(left_minor, currency), share))
        amount_minor = exact_amount.rounded(currency)
    else:
        amount_minor = -min(left_minor, available_minor)
        exact_amount = ExactAmount(to_major(amount_minor, currency))
    return DiscountPart(discount, part, left_minor, available_minor, exact_amount, amount_minor)

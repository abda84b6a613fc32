"""Random plans, quantities and prices, over the whole range of the columns."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from billing_app.domain.currencies import EXPONENTS
from billing_app.domain.rating import Plan

currencies = st.sampled_from(["USD", "JPY", "KWD", "CLF", *sorted(EXPONENTS)])


def decimals(integer_digits: int, places: int) -> st.SearchStrategy[Decimal]:
    """Numbers of zero or more that fit a column. Edge cases, such as small and round ones, are frequent."""
    largest = 10 ** (integer_digits + places) - 1
    scaled = st.one_of(
        st.integers(0, 10 ** (places + 4)),
        st.integers(largest // 10, largest),
        st.integers(0, 2000).map(lambda whole: whole * 10**places),
    )
    # Not scaleb(), which rounds to the digits of the current decimal context.
    return scaled.map(lambda number: Decimal(f"{number}e-{places}"))


quantities = decimals(14, 6)
unit_prices = decimals(8, 12)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    return Plan(
        plan_id=1,
        name="Pro",
        version=1,
        currency=draw(currencies),
        monthly_price_minor=draw(st.integers(0, 10**9)),
        included_units=draw(quantities),
        overage_unit_price=draw(unit_prices),
    )

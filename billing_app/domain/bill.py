"""The bill of a month: what a customer's plans, discounts and usage of the month cost, as a pure function.

An invoice charges the difference between two bills of the same month: with all usage that is billed so far,
and with the usage that was billed before. So whatever the prices, the discounts, the corrections and the
order in which usage arrives, all that is charged for a component over time is its amount in the bill of all
usage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from billing_app.domain.days import Segment, Share, Span, share_of, spans_in
from billing_app.domain.discounts import Discount, DiscountPart, apply_discounts
from billing_app.domain.exact_amounts import ExactAmount
from billing_app.domain.money import EXACT, exact_sum, to_major
from billing_app.domain.pricing import ZERO, Price, price


class UsageKey(NamedTuple):
    """A meter, and the first day of a segment of the month.

    It names the usage of that segment, or, with None instead of a segment, of all days with a plan: the
    quantities of meters that do not add up are those of the whole month.
    """

    meter_id: int
    segment_start: date | None


Quantities = Mapping[UsageKey, Decimal]


class MonthTerms(NamedTuple):
    """A month of a customer: the plans by day, and the discounts that apply, in the order of their numbers.

    There is at least one segment: a month without any day on a plan has no bill.
    """

    period_start: date
    segments: tuple[Segment, ...]
    discounts: tuple[Discount, ...] = ()

    @property
    def currency(self) -> str:
        """The currency of all of the customer's plans."""
        return self.segments[0].plan.currency


def month_terms(
    period_start: date, segments: tuple[Segment, ...], discounts: Iterable[Discount]
) -> MonthTerms:
    """Return the terms of a month, with those of the customer's discounts that apply to it."""
    return MonthTerms(period_start, segments, tuple(each for each in discounts if each.covers(period_start)))


class BasePrice(NamedTuple):
    """The monthly price of one segment."""

    segment: Segment
    share: Share
    exact_amount: ExactAmount
    amount_minor: int


class UsagePrice(NamedTuple):
    """The usage of one charge in one span: its whole quantity, and the price of each component."""

    span: Span
    share: Share
    quantity: Decimal
    prices: tuple[Price, ...]


class Bill(NamedTuple):
    """All components of a month. Two bills of the same terms have the same components in the same order."""

    base: tuple[BasePrice, ...]
    usage: tuple[UsagePrice, ...]
    discounts: tuple[DiscountPart, ...]

    @property
    def total_minor(self) -> int:
        """The sum of all components."""
        return (
            sum(each.amount_minor for each in self.base)
            + _usage_minor(self.usage)
            + sum(each.amount_minor for each in self.discounts)
        )


def bill(terms: MonthTerms, quantities: Quantities) -> Bill:
    """Return the bill of a month for these quantities. A quantity that is not given is zero."""
    base = tuple(_price_segment(terms, each) for each in terms.segments)
    usage = tuple(_price_span(terms, each, quantities) for each in spans_in(terms.segments))
    discounts = (
        apply_discounts(
            terms.discounts,
            sum(each.amount_minor for each in base),
            _usage_minor(usage),
            terms.currency,
        )
        if terms.discounts
        else ()
    )
    return Bill(base, usage, discounts)


def _usage_minor(usage: tuple[UsagePrice, ...]) -> int:
    return sum(each.amount_minor for span in usage for each in span.prices)


def _price_segment(terms: MonthTerms, segment: Segment) -> BasePrice:
    share = share_of(terms.period_start, segment.start, segment.end)
    monthly = to_major(segment.plan.monthly_price_minor, terms.currency)
    if share.is_whole:
        return BasePrice(segment, share, ExactAmount(monthly), segment.plan.monthly_price_minor)
    exact_amount = ExactAmount(EXACT.multiply(monthly, Decimal(share.days)), share.days_in_month)
    return BasePrice(segment, share, exact_amount, exact_amount.rounded(terms.currency))


def _price_span(terms: MonthTerms, span: Span, quantities: Quantities) -> UsagePrice:
    share = share_of(terms.period_start, span.start, span.end)
    quantity = _quantity_in(span, quantities)
    return UsagePrice(span, share, quantity, price(span.charge, quantity, share, terms.currency))


def usage_keys(span: Span) -> tuple[UsageKey, ...]:
    """Return what names the usage that a span prices."""
    meter = span.charge.meter
    if not meter.adds_up:
        return (UsageKey(meter.meter_id, None),)
    return tuple(UsageKey(meter.meter_id, start) for start in span.segments)


def _quantity_in(span: Span, quantities: Quantities) -> Decimal:
    keys = usage_keys(span)
    if len(keys) == 1:
        return quantities.get(keys[0], ZERO)
    return exact_sum(quantities.get(key, ZERO) for key in keys)

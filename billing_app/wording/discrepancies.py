"""The sentence for each discrepancy that a verification can report, by its code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from billing_app.domain.lines import ComponentPart
from billing_app.services.verification.report import Discrepancy, StatedGap
from billing_app.wording.sentences import Template, capitalized, fill
from billing_app.wording.values import day

_LINE_VALUES = {
    "kind": "kind",
    "description": "description",
    "usage_period": "usage month",
    "exact_amount": "exact amount",
    "exact_denominator": "denominator of the exact amount",
    "rated": "rated amount",
    "exact_amount_before": "previously billed exact amount",
    "already_charged": "amount already charged",
    "amount": "amount",
    "segment_start": "first day",
    "segment_end": "end of the days",
    "days": "number of days",
    "days_in_month": "number of days in the month",
    "plan_name": "plan name",
    "plan_version": "plan version",
    "monthly_price": "monthly price",
    "charge_position": "position of the charge",
    "meter_code": "meter code",
    "meter_name": "meter name",
    "meter_unit": "meter unit",
    "aggregation": "aggregation",
    "model": "price model",
    "quantity": "quantity",
    "quantity_before": "previously billed quantity",
    "quantity_after": "total quantity",
    "included_units": "included units of a whole month",
    "included_quantity": "included units",
    "billed_quantity": "priced quantity",
    "billed_quantity_before": "previously priced quantity",
    "unit_price": "unit price",
    "package_size": "package size",
    "package_price": "package price",
    "packages": "number of packages",
    "packages_before": "number of previously billed packages",
    "component_tier": "tier component",
    "tier_number": "tier",
    "tier_above": "lower bound of the tier",
    "tier_up_to": "upper bound of the tier",
    "tier_above_units": "lower bound of the tier in a whole month",
    "tier_up_to_units": "upper bound of the tier in a whole month",
    "flat_price": "flat price",
    "tier_number_before": "previous tier",
    "tier_above_before": "lower bound of the previous tier",
    "tier_up_to_before": "upper bound of the previous tier",
    "unit_price_before": "previous unit price",
    "flat_price_before": "previous flat price",
    "is_correction": "correction mark",
    "discount_number": "discount number",
    "discount_name": "discount name",
    "discount_part": "discounted part",
    "discount_percent": "discount percentage",
    "discount_amount": "discount amount",
    "discounted": "amount before the discount",
    "discounted_before": "previous amount before the discount",
    "discount_available": "available discount",
    "discount_available_before": "previously available discount",
    "item_key": "idempotency key",
    "item_date": "date",
}


def _wrong_line(facts: Mapping[str, Any]) -> str:
    found, expected = ("missing" if facts[name] is None else f"{{{name}}}" for name in ("found", "expected"))
    return f"Line {{line}}: the {_LINE_VALUES[facts['value']]} is {found}, but should be {expected}."


_WRONG_CHARGES: dict[ComponentPart, str] = {
    "base": "{found} was charged as the monthly price of {period}, but it is {expected}.",
    "usage": "{found} was charged for usage in {period}, but its price is {expected}.",
    "discount": "A discount of {period} is {found}, but should be {expected}.",
}


def _wrong_charge(facts: Mapping[str, Any]) -> str:
    return _WRONG_CHARGES[facts["part"]]


def _about_events(rest: str, rest_of_one: str, noun: str = "event") -> Template:
    """Return a template that starts with the number of events, or corrections, and their periods."""

    def choose(facts: Mapping[str, Any]) -> str:
        is_one = facts[f"{noun}s"] == 1
        events = f"1 {noun}" if is_one else f"{{{noun}s}} {noun}s"
        return f"{events} from {{usage_period}} with billing period {{period}} {rest_of_one if is_one else rest}."

    return choose


SENTENCES: dict[str, Template] = {
    # Usage events.
    "events_billed_too_late": _about_events("should be billed earlier", "should be billed earlier"),
    "events_billed_twice": _about_events("are on more than one invoice", "is on more than one invoice"),
    "events_not_invoiced": _about_events("are on no invoice", "is on no invoice"),
    "corrections_billed_too_late": _about_events(
        "should be billed earlier", "should be billed earlier", "correction"
    ),
    "corrections_billed_twice": _about_events(
        "are on more than one invoice", "is on more than one invoice", "correction"
    ),
    "corrections_not_invoiced": _about_events("are on no invoice", "is on no invoice", "correction"),
    "events_misplaced": "Events that don't fit their meter: {events}.",
    "wrong_correction": "Correction {number} of the event {event} does not follow what was recorded before it.",
    "rows_without_customer": "Some {rows} belong to no customer.",
    # Invoices.
    "wrong_sequence": "The invoice has sequence number {found}, but should have {expected}.",
    "foreign_number": "The invoice number does not match the customer's key and the sequence number.",
    "period_still_open": "The invoice is for {period}, which is still open.",
    "wrong_currency": "The invoice is in {found}, but the customer is billed in {expected}.",
    "wrong_due_date": "The due date is not 30 days after the issue date.",
    "wrong_line": _wrong_line,
    "missing_or_extra_lines": "The invoice has {found} lines, but should have {expected}.",
    "wrong_line_count": "The invoice states {stated} lines, but has {found}.",
    "wrong_total": "The total is not the sum of the lines.",
    "broken_chain": "The invoice does not contain the hash of the previous invoice.",
    "content_changed": "The content does not match the hash.",
    "invoice_of_unsettled_month": "The invoice is for {period}, which is not marked as invoiced.",
    # Customers.
    "settled_without_invoice": "{period} is marked as invoiced and has a plan, but has no invoice.",
    "closed_without_invoice": "{period} is closed, but has no invoice.",
    "wrong_last_number": "The last sequence number is {found}, but should be {expected}.",
    "wrong_number_gap": "The skipped invoice numbers {first} to {last} don't fit the invoices before and after them.",
    "wrong_last_hash": "The stored hash does not match the last invoice.",
    "wrong_charge": _wrong_charge,
    "wrong_credit": "The credit is {found}, but invoices, refunds and applied credit leave {expected}.",
    "overpaid": "Payments for {period} exceed the invoice total.",
    "wrong_open_invoice": "The stored outstanding balance for {period} is wrong.",
}


def discrepancy_sentence(discrepancy: Discrepancy) -> str:
    """Describe the discrepancy in a sentence, without naming its subject."""
    return capitalized(fill(SENTENCES[discrepancy.code], discrepancy.facts))


def subject_name(discrepancy: Discrepancy) -> str:
    """Return the name of the discrepancy's subject: an invoice's number or a customer's key."""
    subject = discrepancy.subject
    return subject.invoice or (subject.customer.key if subject.customer else "")


def number_gap_sentence(gap: StatedGap) -> str:
    """Write which invoice numbers were skipped, and why."""
    restored_on = day(gap.recorded_at.astimezone(UTC).date())
    return f"{skipped_numbers(gap.first, gap.last)} before the restore of {restored_on}, and not used again."


def skipped_numbers(first: str, last: str) -> str:
    """Write the beginning of a sentence about skipped numbers: `ACME-0010 to ACME-0012 were issued`."""
    return f"{first} was issued" if first == last else f"{first} to {last} were issued"

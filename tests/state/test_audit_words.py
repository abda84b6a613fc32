"""The wording of audit entries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from billing_app.services.audit.log import AuditRow
from billing_app.services.audit.names import Named
from billing_app.state.presenters import audit_entries

NAMES = {
    "cus_12": Named("cus_12", "Acme", "acme"),
    "usr_4": Named("usr_4", "Ada Lovelace"),
    "plan_3": Named("plan_3", "Growth, version 2"),
}


def entry(**given: Any) -> AuditRow:
    row = {
        "audit_id": 1, "at": datetime(2026, 11, 1, tzinfo=UTC), "actor_id": "usr_4", "actor_name": "Ada",
        "on_behalf_of": None, "action": "customer.created", "subject": "cus_12", "details": {},
    }  # fmt: skip
    return AuditRow(**{**row, **given})


@pytest.mark.parametrize(
    ("actor_id", "actor_name", "name", "note"),
    [
        ("usr_4", "Ada", "Ada", ""),
        ("tok_1", "warehouse", "warehouse", "API token"),
        ("cli:ada", "cli:ada", "ada", "on the command line"),
        ("system", "system", "System", ""),
        ("usage-gateway", "usage-gateway", "usage-gateway", ""),
    ],
)
def test_actor_is_named(actor_id: str, actor_name: str, name: str, note: str) -> None:
    who = audit_entries.describe_actor(entry(actor_id=actor_id, actor_name=actor_name), NAMES)
    assert who == (name, note, actor_id)


@pytest.mark.parametrize(
    ("starter", "name"),
    [("usr_4", "Ada Lovelace"), ("cli:ada", "ada"), ("tok_9", "tok_9"), ("system", "System")],
)
def test_background_work_is_named_after_the_actor_who_started_it(starter: str, name: str) -> None:
    row = entry(actor_id="run_5", actor_name="run_5", on_behalf_of=starter)
    assert audit_entries.describe_actor(row, NAMES) == (name, "in the background", starter)


def test_actor_whose_name_looks_like_background_work_is_not_parsed() -> None:
    row = entry(actor_id="tok_9", actor_name="run_5 by usr_4")
    assert audit_entries.describe_actor(row, NAMES) == ("run_5 by usr_4", "API token", "tok_9")


@pytest.mark.parametrize(
    ("subject", "words", "href", "for_admins"),
    [
        ("cus_12", "Acme", "/customers/acme", None),
        ("cus_99", "cus_99", "", None),
        ("ACME-0003", "ACME-0003", "/invoices/ACME-0003", None),
        ("plan_3", "Growth, version 2", "/plans", None),
        ("ver_3", "Verification 3", "/verify", None),
        ("run_5", "Invoice run 5", "/invoices?run=run_5", None),
        ("imp_2", "Import 2", "/usage/imports/imp_2", None),
        ("issuer", "Company details", "/settings", None),
        ("usr_4", "Ada Lovelace", "", "/users"),
        ("unknown", "Unknown", "", None),
    ],
)
def test_subject_is_named_and_linked(subject: str, words: str, href: str, for_admins: str | None) -> None:
    assert audit_entries.describe_subject(subject, NAMES) == words
    assert audit_entries.link_subject(subject, NAMES) == href
    assert audit_entries.link_subject(subject, NAMES, is_admin=True) == (for_admins or href)


def test_details_are_written_for_people() -> None:
    said = audit_entries.describe_details(
        entry(
            action="payment.recorded",
            details={"amount": "1234.5", "currency": "USD", "payment": "pay_3", "received_on": "2026-11-02",
                     "plan": "plan_3", "start": "2026-10-15", "period": "2026-10", "ok": False, "recorded": 1200,
                     "duplicates": 0, "role": "finance"},
        ),
        NAMES,
    )  # fmt: skip
    assert {each.name: each.value for each in said} == {
        "Amount": "$1,234.50", "Payment": "pay_3", "Received on": "Nov 2, 2026", "Plan": "Growth, version 2",
        "Starts on": "Oct 15, 2026", "Period": "October 2026", "No discrepancies": "No", "Recorded": "1,200", "Role": "Finance",
    }  # fmt: skip


def test_details_that_are_not_numbers_or_days_are_unchanged() -> None:
    details = {
        "amount": "much",
        "currency": "USD",
        "included_units": "all",
        "name": "2026-99",
        "key": "2026-13-01",
    }
    said = {each.name: each.value for each in audit_entries.describe_details(entry(details=details), NAMES)}
    assert said == {"Amount": "much", "Included units": "all", "Name": "2026-99", "Key": "2026-13-01"}


def test_address_of_a_sign_in_is_a_network_address() -> None:
    details = {"address": "127.0.0.1"}
    assert (
        audit_entries.describe_details(entry(action="user.signed_in", details=details), {})[0].name == "From"
    )
    assert (
        audit_entries.describe_details(entry(action="issuer.changed", details=details), {})[0].name
        == "Address"
    )


def test_ids_are_found_in_every_part_of_an_entry() -> None:
    rows = [
        entry(
            actor_id="run_5",
            on_behalf_of="usr_4",
            details={"plan": "plan_3", "note": "see cus_7", "created": 3},
        )
    ]
    assert audit_entries.find_ids(rows) == {"run_5", "usr_4", "cus_12", "plan_3", "cus_7"}


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("discount.created", "Discount created"),
        ("discount.ended", "End of a discount set"),
        ("one_off_item.recorded", "One-off item recorded"),
        ("one_off_item.reversed", "One-off item reversed"),
        ("credit.applied", "Credit applied"),
        ("refund.recorded", "Refund recorded"),
        ("refund.reversed", "Refund reversed"),
    ],
)
def test_adjustments_are_named(action: str, words: str) -> None:
    assert audit_entries.describe_action(action) == words


def test_details_of_adjustments_are_written_for_people() -> None:
    details = {
        "percent": "12.5", "applies_to": "all", "first_period": "2026-10", "quantity": "2.50",
        "unit_price": "-80.5", "currency": "USD",
    }  # fmt: skip
    said = {each.name: each.value for each in audit_entries.describe_details(entry(details=details), NAMES)}
    assert said == {
        "Percent": "12.5%", "Applies to": "Monthly price and usage", "First period": "October 2026",
        "Quantity": "2.5", "Unit price": "−$80.50",
    }  # fmt: skip

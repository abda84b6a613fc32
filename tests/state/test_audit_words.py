"""Entries of the audit log as people read them."""

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
        "action": "customer.created", "subject": "cus_12", "details": {},
    }  # fmt: skip
    return AuditRow(**{**row, **given})


@pytest.mark.parametrize(
    ("actor_id", "actor_name", "name", "note"),
    [
        ("usr_4", "Ada", "Ada", ""),
        ("tok_1", "warehouse", "warehouse", "API token"),
        ("cli:ada", "cli:ada", "ada", "on the command line"),
        ("run_5 by usr_4", "run_5 by usr_4", "Ada Lovelace", "in the background"),
        ("run_5 by cli:ada", "run_5 by cli:ada", "ada", "in the background"),
        ("system", "system", "System", ""),
        ("usage-gateway", "usage-gateway", "usage-gateway", ""),
    ],
)
def test_whoever_did_it_has_a_name(actor_id: str, actor_name: str, name: str, note: str) -> None:
    who = audit_entries.who(entry(actor_id=actor_id, actor_name=actor_name), NAMES)
    assert who == (name, note, actor_id)


@pytest.mark.parametrize(
    ("subject", "words", "href", "for_admins"),
    [
        ("cus_12", "Acme", "/customers/acme", None),
        ("cus_99", "cus_99", "", None),
        ("ACME-0003", "ACME-0003", "/invoices/ACME-0003", None),
        ("plan_3", "Growth, version 2", "/plans", None),
        ("ver_3", "Verification 3", "/verify", None),
        ("run_5", "Run 5", "/invoices?run=run_5", None),
        ("imp_2", "Import 2", "/usage/imports/imp_2", None),
        ("issuer", "Issuer", "/settings", None),
        ("usr_4", "Ada Lovelace", "", "/users"),
        ("unknown", "Unknown", "", None),
    ],
)
def test_a_subject_has_a_name_and_leads_to_its_page(
    subject: str, words: str, href: str, for_admins: str | None
) -> None:
    assert audit_entries.subject(subject, NAMES) == words
    assert audit_entries.subject_href(subject, NAMES) == href
    assert audit_entries.subject_href(subject, NAMES, is_admin=True) == (for_admins or href)


def test_details_are_words() -> None:
    said = audit_entries.details(
        entry(
            action="payment.recorded",
            details={"amount": "1234.5", "currency": "USD", "payment": "pay_3", "received_on": "2026-11-02",
                     "plan": "plan_3", "start_period": "2026-10", "ok": False, "recorded": 1200,
                     "duplicates": 0, "role": "finance"},
        ),
        NAMES,
    )  # fmt: skip
    assert {each.name: each.value for each in said} == {
        "Amount": "$1,234.50", "Payment": "pay_3", "Received on": "Nov 2, 2026", "Plan": "Growth, version 2",
        "Start period": "October 2026", "Everything agrees": "No", "Recorded": "1,200", "Role": "Finance",
    }  # fmt: skip


def test_what_is_no_number_or_day_stays_as_it_is() -> None:
    details = {
        "amount": "much",
        "currency": "USD",
        "included_units": "all",
        "name": "2026-99",
        "key": "2026-13-01",
    }
    said = {each.name: each.value for each in audit_entries.details(entry(details=details), NAMES)}
    assert said == {"Amount": "much", "Included units": "all", "Name": "2026-99", "Key": "2026-13-01"}


def test_an_address_is_a_place_or_a_network_s() -> None:
    details = {"address": "127.0.0.1"}
    assert audit_entries.details(entry(action="user.signed_in", details=details), {})[0].name == "From"
    assert audit_entries.details(entry(action="issuer.changed", details=details), {})[0].name == "Address"


def test_ids_worth_a_name_are_found_wherever_they_are() -> None:
    rows = [entry(actor_id="run_5 by usr_4", details={"plan": "plan_3", "note": "see cus_7", "made": 3})]
    assert audit_entries.ids_in(rows) == {"run_5", "usr_4", "cus_12", "plan_3", "cus_7"}

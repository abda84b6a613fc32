"""Which characters a text may contain, and which texts are checked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from sqlmodel import Session

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Role
from billing_app.domain.rules import BrokenRule
from billing_app.errors import FieldError, Invalid
from billing_app.services.customers.customers import create_customer, update_customer
from billing_app.services.identity.api_tokens import create_token
from billing_app.services.identity.users import create_user, update_user
from billing_app.services.invoices.issuer import update_issuer
from billing_app.services.payments.payments import record_payment, reverse_payment
from billing_app.services.plans.plans import create_plan
from billing_app.services.shared import validation
from billing_app.services.shared.characters import check_characters
from billing_app.services.usage.recording import UsageReport, record_usage
from billing_app.services.usage_imports.files import store_file
from billing_app.wording.rules import rule_text
from tests.factories import make_customer, make_invoice, make_plan

TURNED = "Acme \u202etnemyaP"
DIRECTIONS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C]
OTHER_FORMATS = [0x200B, 0x2060, 0x2063, 0xFEFF, 0x00AD, 0x180E, 0xFFF9, 0xE0001, 0xE0061, 0x1D173]


@pytest.mark.parametrize("number", DIRECTIONS + OTHER_FORMATS, ids=hex)
def test_invisible_character_is_refused_by_name(number: int) -> None:
    with pytest.raises(BrokenRule) as refused:
        check_characters(f"Acme {chr(number)}Ltd")
    assert refused.value.rule == "invisible_character"
    assert refused.value.facts["character"] == f"U+{number:04X}"


def test_refusal_says_which_character_it_is() -> None:
    with pytest.raises(Invalid) as refused:
        validation.line("name", TURNED, at_most=200)
    assert rule_text(refused.value.errors[0]) == (
        "must not contain the invisible character U+202E (right-to-left override)"
    )


@pytest.mark.parametrize(
    "text",
    [
        "\u200d", "\u200c\ufe0f", "\u3164", "\u115f\u1160", "\uffa0", "\u2800\u2800", "\u00a0", " ",
        "\u0301", "\ue000", "\U000e0fff", "\ufdd0", "\uffff",
    ],
    ids=ascii,
)  # fmt: skip
def test_text_that_shows_nothing_is_refused(text: str) -> None:
    with pytest.raises(BrokenRule, match="nothing_visible"):
        check_characters(text)


@pytest.mark.parametrize(
    "text", ["a\tb", "a\nb", "a\0b", "a\x7fb", "a\x85b", "a\u2028b", "a\u2029b"], ids=ascii
)
def test_control_character_is_refused(text: str) -> None:
    with pytest.raises(BrokenRule, match="control_characters"):
        check_characters(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "Acme", "Café", "می\u200cخواهم", "क्\u200dष", "👩\u200d👧", "☎\ufe0f", "עברית", "株式会社",
        "a\u00a0b", "\u0601123", "e\u0301", "\U0001fbff", "a\u3164b",
    ],
    ids=ascii,
)  # fmt: skip
def test_text_in_any_script_is_accepted(text: str) -> None:
    check_characters(text)


def test_paragraph_keeps_its_line_breaks() -> None:
    assert validation.paragraph("address", " 1 Main St\r\nTown\n ") == "1 Main St\nTown"
    with pytest.raises(Invalid):
        validation.paragraph("address", "1 Main St\rTown")
    with pytest.raises(Invalid):
        validation.paragraph("address", "1 Main St\n\u2067Town")


Write = Callable[[Session, Actor], object]


def _new_customer(**changes: Any) -> Write:
    fields = {"name": "Beta", "email": "beta@example.com", "plan_id": 1, "billing_address": ""} | changes
    return lambda session, actor: create_customer(session, actor, **fields)


def _new_issuer(**changes: str) -> Write:
    fields = {
        "name": "Us",
        "address": "1 Main St",
        "email": "us@example.com",
        "payment_instructions": "",
    } | changes
    return lambda session, actor: update_issuer(session, actor, **fields)


def _new_payment(**changes: str) -> Write:
    fields = {"amount": "1.00", "idempotency_key": "p1"} | changes
    return lambda session, actor: record_payment(
        session, actor, "ACME-0001", received_on=date(2026, 11, 1), **fields
    )


def _add_user(session: Session, actor: Actor) -> int:
    return create_user(session, actor, email="u@example.com", name="Una", role=Role.FINANCE).user.user_id


def _pay(session: Session, actor: Actor) -> int:
    paid = record_payment(
        session, actor, "ACME-0001", received_on=date(2026, 11, 1), amount="1.00", idempotency_key="p1"
    )
    return paid.payment.payment_id


WRITES: dict[str, tuple[str, Write]] = {
    "customer name": ("name", _new_customer(name=TURNED)),
    "customer address": ("billing_address", _new_customer(billing_address=TURNED)),
    "customer email": ("email", _new_customer(email="a\u202eb@example.com")),
    "customer name change": ("name", lambda session, actor: update_customer(session, actor, "acme", name=TURNED)),
    "plan name": (
        "name",
        lambda session, actor: create_plan(
            session, actor, name=TURNED, currency="USD", monthly_price="1", included_units="0",
            overage_unit_price="0",
        ),
    ),
    "issuer name": ("name", _new_issuer(name=TURNED)),
    "issuer address": ("address", _new_issuer(address=TURNED)),
    "payment instructions": ("payment_instructions", _new_issuer(payment_instructions=TURNED)),
    "payment method": ("method", _new_payment(method=TURNED)),
    "payment reference": ("reference", _new_payment(reference=TURNED)),
    "payment key": ("idempotency_key", _new_payment(idempotency_key=TURNED)),
    "event key": (
        "idempotency_key",
        lambda session, actor: record_usage(session, actor, UsageReport("acme", TURNED, 1, None)),
    ),
    "user name": (
        "name",
        lambda session, actor: create_user(
            session, actor, email="u@example.com", name=TURNED, role=Role.FINANCE
        ),
    ),
    "token name": (
        "name", lambda session, actor: create_token(session, actor, name=TURNED, scopes=["read"])
    ),
    "user name change": (
        "name", lambda session, actor: update_user(session, actor, _add_user(session, actor), name=TURNED)
    ),
    "reversal reason": (
        "reason",
        lambda session, actor: reverse_payment(
            session, actor, "ACME-0001", _pay(session, actor), reason=TURNED
        ),
    ),
    "file name": ("file_name", lambda session, actor: store_file(session, actor, TURNED, [b""])),
}  # fmt: skip


@pytest.mark.parametrize("written", WRITES)
def test_every_text_that_is_shown_is_checked(database: Database, admin: Actor, written: str) -> None:
    acme = make_customer(database, key="acme", start=date(2026, 10, 1))
    make_invoice(database, acme, date(2026, 10, 1))
    field, write = WRITES[written]
    with pytest.raises(Invalid) as refused, database.transaction(admin) as session:
        write(session, admin)
    assert [(each.field, each.rule) for each in refused.value.errors] == [(field, "invisible_character")]
    assert isinstance(refused.value.errors[0], FieldError)


def test_name_of_nothing_visible_is_refused(database: Database, admin: Actor) -> None:
    plan = make_plan(database)
    for name in ("\u200b", "\u200b\u200b", "\u2800", "\u3164\u115f", "\u200d", "\u00ad", "\ufe0f"):
        with pytest.raises(Invalid) as refused, database.transaction(admin) as session:
            _new_customer(name=name, plan_id=plan.plan_id)(session, admin)
        assert refused.value.errors[0].field == "name", ascii(name)
    with database.transaction(admin) as session:
        _new_customer(name="می\u200cخواهم", plan_id=plan.plan_id)(session, admin)

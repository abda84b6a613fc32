"""The normal form in which email addresses are compared, and that every account uses it."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.services.customers import customers
from billing_app.services.identity import sessions, users
from billing_app.services.identity.sign_in_attempts import PLACE, count
from billing_app.services.shared.emails import email_key
from tests.factories import PASSWORD, make_customer, make_user
from tests.refusals import refused

# Pairs of spellings of one address.
SAME = [
    ("jos\u00e9@example.com", "jose\u0301@example.com"),
    ("Ada@Example.COM", "ada@example.com"),
    ("\uff41\uff44\uff41@example.com", "ada@example.com"),
    ("stra\u00dfe@example.com", "STRASSE@example.com"),
    ("\u1f40\u03b4\u03cc\u03c2@example.com", "\u1f48\u0394\u039f\u0301\u03a3@example.com"),
    ("ada@m\u00fcnchen.example", "ada@xn--mnchen-3ya.example"),
    ("ada@m\u00fcnchen.example", "ada@MU\u0308NCHEN.example"),
    ("ada@\u4f8b\u3048.example", "ada@XN--R8JZ45G.example"),
    ("TITLE@example.com", "title@example.com"),
    ("office@\uff45xample.com", "office@example.com"),
]
DIFFERENT = [
    ("ada@example.com", "ada@example.org"),
    ("ada@example.com", "adam@example.com"),
    ("ada+1@example.com", "ada@example.com"),
    ("a.da@example.com", "ada@example.com"),
    ("jos\u00e9@example.com", "jose@example.com"),
    # The dotless i is a different letter, whatever the database's locale.
    ("t\u0131tle@example.com", "title@example.com"),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=ascii)
def test_spellings_of_one_address_have_one_form(one: str, other: str) -> None:
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=ascii)
def test_different_addresses_have_different_forms(one: str, other: str) -> None:
    assert email_key(one) != email_key(other)


@given(st.emails(domains=st.sampled_from(["example.com", "m\u00fcnchen.example", "Example.ORG"])))
def test_form_is_stable_and_ignores_case(address: str) -> None:
    assert email_key(address)
    assert email_key(email_key(address)) == email_key(address.upper()) == email_key(address)


@given(st.text(max_size=30).filter(lambda text: "@" not in text))
def test_text_that_is_not_an_address_has_no_form(text: str) -> None:
    assert email_key(text) == ""


@pytest.mark.parametrize(("one", "other"), SAME, ids=ascii)
def test_one_address_is_one_user(database: Database, fast_hashes: None, one: str, other: str) -> None:
    user = make_user(database, email=one)
    with refused("email_taken"):
        make_user(database, email=other)
    with database.transaction(SYSTEM) as session:
        signed_in = sessions.sign_in(session, SYSTEM, email=other, password=PASSWORD, secret="s" * 32)
        assert signed_in.user.user_id == user.user_id
        # The address stays as it was entered.
        assert users.get_user(session, SYSTEM, user.user_id).email == normalize("NFC", one)


@pytest.mark.parametrize(("one", "other"), [SAME[0], SAME[1], SAME[5]], ids=ascii)
def test_spellings_of_one_address_share_their_failures_and_are_unlocked_together(
    database: Database, fast_hashes: None, one: str, other: str
) -> None:
    make_user(database, email=one)
    for number in range(PLACE.allowed):
        database.call(SYSTEM, count, email=(one, other)[number % 2], address="192.0.2.1")
    with refused("too_many_attempts"):
        database.call(SYSTEM, count, email=other, address="192.0.2.1")
    user = database.call(SYSTEM, users.get_user_by_email, other)
    assert user.locked_until is not None
    database.call(SYSTEM, users.unlock_user, user.user_id)
    database.call(SYSTEM, count, email=one, address="192.0.2.1")


@pytest.mark.parametrize(("one", "other"), SAME[:3], ids=ascii)
def test_one_address_is_one_customer(database: Database, admin: Actor, one: str, other: str) -> None:
    first = make_customer(database, email=one)
    with refused("email_taken"):
        make_customer(database, email=other)
    second = make_customer(database, email="second@example.com")
    with refused("email_taken"), database.transaction(admin) as session:
        customers.update_customer(session, admin, second.key, email=other)
    # A customer's own address can be changed to another spelling.
    with database.transaction(admin) as session:
        changed = customers.update_customer(session, admin, first.key, email=other)
        assert changed.email == normalize("NFC", other)

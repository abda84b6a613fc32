from __future__ import annotations

import pytest

from billing_app.services.identity import passwords
from billing_app.services.identity.demo_accounts import DEMO_USERS
from tests.refusals import refused

EVE = ("evelyn.adams@example.com", "Evelyn Adams")


@pytest.mark.parametrize(
    "password",
    [
        "qwerty123456",
        "1Q2W3E4R5T6Y",
        "administrator",
        "leavemealone",
        "password2026",
        "Password2026!",
        "!!!!dragon!!!!",
        "sunshine-1234",
        "123456789012",
        "dragondragon",
        "letmeinletmein",
        "abababababab",
        "tallybook2026",
        "TallyBook-Billing"[:16],
        "evelyn-adams-1",
        "Evelyn.Adams@Example",
        "adams-evelyn-adams",
    ],
)
def test_easily_guessed_password_is_rejected(password: str) -> None:
    with refused("password_too_common", field="new"):
        passwords.check_rules("new", password, account_words=EVE)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "my tallybook has nine pages",
        "evelyn sells sea shells",
        "пароль из пяти слов",
        "38914 02756 1184",
        *(user.password for user in DEMO_USERS),
    ],
)
def test_uncommon_password_is_accepted_unchanged(password: str) -> None:
    assert passwords.check_rules("new", password, account_words=EVE) == password


def test_demo_passwords_are_accepted_for_their_accounts() -> None:
    for user in DEMO_USERS:
        passwords.check_rules("password", user.password, account_words=(user.email, user.name))


def test_password_list_is_loaded_without_its_license() -> None:
    common = passwords.common_passwords()
    assert len(common) > 5000
    assert len([password for password in common if len(password) >= passwords.CHARACTERS_MIN]) > 300
    assert not any(" " in password or password.startswith("#") for password in common)
    assert "" not in common

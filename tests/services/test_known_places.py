"""Attackers can't lock users out of known places, their guesses are bounded, and locks can be ended."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.services.identity import known_places, passwords, sign_in_attempts, users
from tests.conftest import Clock
from tests.factories import PASSWORD, make_user
from tests.refusals import refused
from tests.runtimes import authenticator, installed
from tests.services.guesses import HERE, HOME, NEW, actions, counts, failures, retry_after, sign_in

PLACE, ACCOUNT = sign_in_attempts.PLACE, sign_in_attempts.ACCOUNT
LOW_BOUND = 2 * PLACE.allowed


@pytest.fixture(autouse=True)
def process(database: Database) -> Iterator[None]:
    """Install this test's database as that of the process."""
    with installed(database):
        yield


@pytest.fixture(autouse=True)
def low_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the bound, so that two addresses are enough to lock all unknown places."""
    monkeypatch.setattr(sign_in_attempts, "ACCOUNT", replace(ACCOUNT, allowed=LOW_BOUND))


@pytest.fixture
def real_bound(low_bound: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the actual bound."""
    monkeypatch.setattr(sign_in_attempts, "ACCOUNT", ACCOUNT)


def known_browser(email: str, address: str = HOME) -> str:
    """Sign in and return the token that the browser keeps."""
    return authenticator().sign_in(email, PASSWORD, user_agent="", address=address).browser_token


def attack(email: str) -> None:
    """Guess from two addresses until all unknown places are locked."""
    for number in range(2):
        failures(email, PLACE.allowed, address=f"203.0.{number}.1")
    assert sign_in(email, address="203.0.99.1") == "too_many_attempts"


def test_stranger_does_not_lock_other_addresses(database: Database) -> None:
    user = make_user(database)
    failures(user.email, 5)
    assert sign_in(user.email, PASSWORD) == "too_many_attempts"
    assert sign_in(user.email, PASSWORD, address=HOME) == ""


def test_patient_stranger_never_locks_the_account_alone(
    database: Database, clock: Clock, real_bound: None
) -> None:
    """For two days, an attacker tries again whenever a lock ends."""
    user = make_user(database)
    until = clock.moment + timedelta(days=2)
    checked = 0
    while clock.moment < until:
        if sign_in(user.email) == "invalid_credentials":
            checked += 1
        else:
            clock.moment += timedelta(seconds=retry_after(user.email))
    assert checked <= 2 * 35
    assert sign_in(user.email, PASSWORD, address=HOME) == ""


def test_guesses_from_all_addresses_together_are_bounded(
    database: Database, clock: Clock, real_bound: None
) -> None:
    user = make_user(database)
    answers = [sign_in(user.email, address=f"203.0.{number}.1") for number in range(ACCOUNT.allowed + 5)]
    assert answers.count("invalid_credentials") == ACCOUNT.allowed
    assert retry_after(user.email, "203.0.99.1") == ACCOUNT.lock.total_seconds()
    # New addresses don't help, and each hour brings one more guess.
    for _ in range(20):
        clock.moment += ACCOUNT.lock
        assert sign_in(user.email, address="203.0.99.1") == "invalid_credentials"
        assert sign_in(user.email, address="203.0.98.1") == "too_many_attempts"
        clock.moment += timedelta(seconds=1)
    assert ("user.locked_for_new_places", user.public_id) in actions(database)


def test_known_address_accepts_the_correct_password(database: Database) -> None:
    user = make_user(database)
    known_browser(user.email)
    attack(user.email)
    assert sign_in(user.email, PASSWORD, address="192.0.2.200") == "too_many_attempts"
    assert sign_in(user.email, PASSWORD, address=HOME) == ""


def test_known_browser_stays_open_at_any_address(database: Database) -> None:
    user = make_user(database)
    browser = known_browser(user.email)
    attack(user.email)
    assert sign_in(user.email, PASSWORD, address="192.0.2.200", browser=browser) == ""


def test_known_browser_stays_open_where_the_address_is_locked(database: Database) -> None:
    """A colleague in the same office fails to sign in, by mistake or in an attack."""
    user = make_user(database)
    browser = known_browser(user.email)
    failures(user.email, 5, address=HOME)
    for number in range(45):
        failures(f"missing{number}@example.com", 1, address=HOME)
    assert sign_in(user.email, PASSWORD, address=HOME) == "too_many_attempts"
    assert sign_in(user.email, PASSWORD, address=HOME, browser=browser) == ""


def test_failures_at_a_known_place_lock_that_place(database: Database) -> None:
    user = make_user(database)
    browser = known_browser(user.email)
    failures(user.email, 5, browser=browser)
    assert sign_in(user.email, PASSWORD, browser=browser) == "too_many_attempts"
    # The address is another place.
    failures(user.email, 5, address=HOME)
    assert sign_in(user.email, PASSWORD, address=HOME) == "too_many_attempts"
    assert sign_in(user.email, PASSWORD, address=HERE) == ""


@pytest.mark.parametrize("browser", ["", "x", "a" * 32, "\ud800" * 32, "\0"], ids=ascii)
def test_browser_token_that_is_not_known_counts_as_its_address(database: Database, browser: str) -> None:
    user = make_user(database)
    failures(user.email, 5, browser=browser)
    assert sign_in(user.email, PASSWORD, browser=browser) == "too_many_attempts"


def test_browser_of_another_user_is_not_known(database: Database) -> None:
    user, attacker = make_user(database), make_user(database)
    browser = known_browser(attacker.email, address=HERE)
    failures(user.email, 5, browser=browser)
    assert sign_in(user.email, PASSWORD) == "too_many_attempts"


def test_several_users_share_a_browser(database: Database) -> None:
    first, second = make_user(database), make_user(database)
    browser = known_browser(first.email)
    shared = authenticator().sign_in(
        second.email, PASSWORD, user_agent="", address=HOME, browser_token=browser
    )
    assert shared.browser_token == browser
    # A token that we did not issue is replaced.
    foreign = authenticator().sign_in(
        second.email, PASSWORD, user_agent="", address=HOME, browser_token="a" * 32
    )
    assert foreign.browser_token not in (browser, "a" * 32)
    attack(first.email)
    attack(second.email)
    for user in (first, second):
        assert sign_in(user.email, PASSWORD, address="192.0.2.200", browser=browser) == ""


def test_known_place_is_forgotten_after_ninety_days(database: Database, clock: Clock) -> None:
    user = make_user(database)
    browser = known_browser(user.email)
    clock.moment += known_places.FORGOTTEN_AFTER - timedelta(days=1)
    attack(user.email)
    assert sign_in(user.email, PASSWORD, address="192.0.2.200", browser=browser) == ""
    clock.moment += known_places.FORGOTTEN_AFTER
    attack(user.email)
    assert sign_in(user.email, PASSWORD, address="192.0.2.200", browser=browser) == "too_many_attempts"


def test_newest_known_places_are_kept(database: Database, clock: Clock, owner: psycopg.Connection) -> None:
    user = make_user(database)
    for number in range(known_places.PLACES_PER_USER_MAX):
        known_browser(user.email, address=f"203.0.113.{number}")
        clock.moment += timedelta(minutes=1)
    browser = known_browser(user.email)
    kept = owner.execute("SELECT count(*) FROM known_place").fetchone()
    assert kept == (known_places.PLACES_PER_USER_MAX,)
    attack(user.email)
    assert sign_in(user.email, PASSWORD, address="192.0.2.200", browser=browser) == ""


def test_hundred_of_many_simultaneous_guesses_from_many_addresses_are_checked(
    database: Database, monkeypatch: pytest.MonkeyPatch, real_bound: None
) -> None:
    user, checked, matches = make_user(database), [], passwords.matches

    def check(*arguments: Any) -> bool:
        checked.append(arguments)
        return matches(*arguments)

    monkeypatch.setattr(passwords, "matches", check)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: sign_in(user.email, address=f"203.0.{number}.1"), range(130)))
    assert len(checked) == answers.count("invalid_credentials") == ACCOUNT.allowed
    assert answers.count("too_many_attempts") == 130 - ACCOUNT.allowed


def test_simultaneous_correct_passwords_all_succeed(database: Database, owner: psycopg.Connection) -> None:
    user = make_user(database)
    browser = known_browser(user.email)
    failures(user.email, 4, address="192.0.2.9")
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda number: sign_in(
                    user.email, PASSWORD, address=f"203.0.113.{number % 4}", browser=browser * (number % 2)
                ),
                range(16),
            )
        )
    assert answers == [""] * 16
    assert min(counts(owner)) == ("account", 4, None)


def test_correct_password_gives_no_further_guesses_elsewhere(database: Database) -> None:
    user = make_user(database)
    browser = known_browser(user.email)
    failures(user.email, PLACE.allowed)
    assert sign_in(user.email, PASSWORD, address="192.0.2.200", browser=browser) == ""
    answers = [sign_in(user.email, address=f"203.1.{number}.1") for number in range(8)]
    assert answers.count("invalid_credentials") == LOW_BOUND - PLACE.allowed


def test_own_password_can_be_changed_during_an_attack(database: Database) -> None:
    user = make_user(database)
    signed_in_here = authenticator().sign_in(user.email, PASSWORD, user_agent="", address=HOME)
    caller = authenticator().authenticate(signed_in_here.token)
    attack(user.email)
    with refused("too_many_attempts"):
        authenticator().change_password(caller, current=PASSWORD, new=NEW, address="192.0.2.200")
    authenticator().change_password(
        caller,
        current=PASSWORD,
        new=NEW,
        address="192.0.2.200",
        browser_token=signed_in_here.browser_token,
    )
    assert sign_in(user.email, NEW, address=HOME) == ""


# Unlocking.


def unlock(database: Database, user_id: int) -> Any:
    return database.call(SYSTEM, users.unlock_user, user_id)


def test_lock_is_shown_and_ended(database: Database, clock: Clock) -> None:
    user, other = make_user(database), make_user(database)
    for each in (user, other):
        failures(each.email, 5)
    assert database.call(SYSTEM, users.get_user, user.user_id).locked_until == clock.moment + PLACE.lock
    assert unlock(database, user.user_id).locked_until is None
    assert sign_in(user.email, PASSWORD) == ""
    assert sign_in(other.email, PASSWORD) == "too_many_attempts"
    listed = database.call(SYSTEM, users.list_users).items
    assert {each.user_id: each.locked_until for each in listed} == {
        user.user_id: None,
        other.user_id: clock.moment + PLACE.lock,
    }
    clock.moment += PLACE.lock
    assert database.call(SYSTEM, users.get_user, other.user_id).locked_until is None


def test_unlocking_ends_the_lock_for_new_places(database: Database) -> None:
    user = make_user(database)
    attack(user.email)
    unlock(database, user.user_id)
    assert sign_in(user.email, PASSWORD, address="192.0.2.200") == ""


def test_unlocking_is_audited_only_when_there_was_a_failure(database: Database) -> None:
    user = make_user(database)
    unlock(database, user.user_id)
    assert actions(database) == []
    failures(user.email, 1)
    unlock(database, user.user_id)
    unlock(database, user.user_id)
    assert [action for action, _ in actions(database)] == ["user.sign_in_failed", "user.unlocked"]
    with refused("user_not_found"):
        unlock(database, 999)

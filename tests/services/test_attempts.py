from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.errors import BillingError
from billing_app.jobs.authentication import actor_of
from billing_app.services.identity import passwords, sign_in_attempts, users
from billing_app.services.identity.rows import Authenticated
from tests.conftest import Clock
from tests.factories import PASSWORD, make_user
from tests.refusals import refused
from tests.runtimes import authenticator, installed
from tests.services.guesses import HERE, NEW, WRONG, actions, counts, failures, retry_after, sign_in

PLACE, ADDRESS = sign_in_attempts.PLACE, sign_in_attempts.ADDRESS


@pytest.fixture(autouse=True)
def process(database: Database) -> Iterator[None]:
    """Install this test's database as that of the process."""
    with installed(database):
        yield


def test_fifth_failure_locks_the_place_for_a_minute_and_each_further_one_for_twice_as_long(
    database: Database, clock: Clock, owner: psycopg.Connection
) -> None:
    user = make_user(database)
    failures(user.email, 5)
    for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
        assert retry_after(user.email) == minutes * 60
        clock.moment += timedelta(minutes=minutes, seconds=-1)
        assert retry_after(user.email) == 1
        clock.moment += timedelta(seconds=1)
        failures(user.email, 1)
    clock.moment += timedelta(hours=1)
    assert sign_in(user.email, PASSWORD) == ""
    assert "place" not in [kind for kind, _, _ in counts(owner)]
    failures(user.email, 4)


def test_lock_has_a_maximum_however_many_failures_there_are() -> None:
    assert PLACE.lock_after(10**9) == PLACE.lock_max == timedelta(hours=1)
    # Otherwise a lock would last longer than the count that caused it.
    for policy in (PLACE, sign_in_attempts.ACCOUNT, ADDRESS):
        assert policy.lock_max <= policy.window


def test_locked_account_checks_no_password_and_counts_nothing(
    database: Database, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user(database)
    failures(user.email, 5)
    counted, audited = counts(owner), actions(database)
    monkeypatch.setattr(passwords, "matches", None)
    for password in (WRONG, PASSWORD):
        assert sign_in(user.email, password) == "too_many_attempts"
    assert counts(owner) == counted
    assert actions(database) == audited


def test_five_of_fifty_simultaneous_guesses_are_checked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, looks, matches = make_user(database), [], passwords.matches
    barrier = Barrier(50)

    def look(*arguments: Any) -> bool:
        looks.append(arguments)
        return matches(*arguments)

    def guess(_: int) -> str:
        barrier.wait(timeout=30)
        return sign_in(user.email)

    monkeypatch.setattr(passwords, "matches", look)
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(guess, range(50)))
    # The responses alone are not enough: a guess that is checked and then rejected still counts as a guess.
    assert len(looks) == PLACE.allowed
    assert found.count("invalid_credentials") == PLACE.allowed
    assert found.count("too_many_attempts") == 50 - PLACE.allowed


def test_attempt_is_committed_before_the_password_is_checked(
    database: Database, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, seen, matches = make_user(database), [], passwords.matches

    def look(*arguments: Any) -> bool:
        seen.append([failed for _, failed, _ in counts(owner)])
        return matches(*arguments)

    monkeypatch.setattr(passwords, "matches", look)
    assert sign_in(user.email, PASSWORD) == ""
    assert seen == [[1, 1, 1]]


def test_correct_password_resets_the_count_of_its_place(database: Database) -> None:
    user = make_user(database)
    for _ in range(3):
        failures(user.email, 4)
        assert sign_in(user.email, PASSWORD) == ""


def test_fifth_attempt_can_still_succeed(database: Database) -> None:
    user = make_user(database)
    failures(user.email, 4)
    assert sign_in(user.email, PASSWORD) == ""
    assert "user.locked_out" not in dict(actions(database))


def test_failures_are_forgotten_after_a_quiet_day_and_no_sooner(database: Database, clock: Clock) -> None:
    user = make_user(database)
    for _ in range(4):
        failures(user.email, 1)
        clock.moment += timedelta(hours=23, minutes=59)
    failures(user.email, 1)
    assert retry_after(user.email) == 60
    clock.moment += timedelta(hours=24)
    failures(user.email, 4)
    assert sign_in(user.email, PASSWORD) == ""


def test_all_spellings_of_an_email_are_one_account(database: Database) -> None:
    make_user(database, email="iris@example.com")
    # The dotted capital I is another letter, whatever the locale of the database.
    failures("\u0130ris@example.com", 1)
    for email in ("IRIS@example.com", " iris@example.com ", "iri\u017f@example.com", "iris@EXAMPLE.com"):
        failures(email, 1)
    failures("iris@example.com", 1)
    assert sign_in("IRI\u0053@example.com") == "too_many_attempts"


def test_unknown_emails_lock_like_known_ones(database: Database, clock: Clock) -> None:
    make_user(database)
    for email in ("missing@example.com", "a\0b", "\ud800"):
        address = email.encode(errors="replace").hex()
        failures(email, 5, address=address)
        assert retry_after(email, address) == 60
        clock.moment += timedelta(days=1)


def test_address_locks_after_fifty_failures_in_a_quarter_of_an_hour(database: Database, clock: Clock) -> None:
    user = make_user(database)
    for number in range(49):
        failures(f"missing{number}@example.com", 1)
        # A correct password subtracts its own attempt and no other.
        assert sign_in(user.email, PASSWORD) == ""
    clock.moment += timedelta(minutes=5)
    failures("missing@example.com", 1)
    assert retry_after(user.email) == 15 * 60
    assert sign_in(user.email, PASSWORD, address="192.0.2.2") == ""
    clock.moment += timedelta(minutes=15)
    assert sign_in(user.email, PASSWORD) == ""
    assert [action for action, _ in actions(database)].count("address.locked_out") == 1


def test_failures_of_an_address_are_counted_from_the_first_one(database: Database, clock: Clock) -> None:
    # Occasional typos in a large office are not an attack.
    for number in range(60):
        failures(f"missing{number}@example.com", 1)
        clock.moment += timedelta(seconds=20)


def test_addresses_of_one_network_are_one_place(database: Database, subtests: pytest.Subtests) -> None:
    for number, (first, second, same) in enumerate(
        [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
            ("::ffff:192.0.2.77", "192.0.2.77", True),
            ("::ffff:192.0.2.77", "192.0.2.78", False),
            ("fe80::1%eth0", "fe80::2%eth0", True),
            ("", "", True),
            ("testclient", "testclient", True),
        ]
    ):
        with subtests.test(first=first, second=second), database.transaction(SYSTEM) as session:
            for each in range(ADDRESS.allowed):
                sign_in_attempts.count(session, SYSTEM, email=f"{number}-{each}@example.com", address=first)
            if same:
                with refused("too_many_attempts"):
                    sign_in_attempts.count(session, SYSTEM, email="other@example.com", address=second)
            else:
                sign_in_attempts.count(session, SYSTEM, email="other@example.com", address=second)
            session.rollback()


def test_typed_text_is_not_stored(database: Database, owner: psycopg.Connection) -> None:
    sign_in("my-password-by-mistake@example.com", "my other secret")
    kept = str(owner.execute("SELECT a::text FROM sign_in_attempt a").fetchall())
    kept += str(owner.execute("SELECT a::text FROM audit_entry a").fetchall())
    assert "mistake" not in kept
    assert "secret" not in kept
    assert HERE in kept


def test_old_counts_are_deleted_along_the_way(
    database: Database, clock: Clock, owner: psycopg.Connection
) -> None:
    for number in range(30):
        sign_in(f"missing{number}@example.com", address=f"192.0.2.{number}")
    clock.moment += timedelta(days=1)
    for number in range(16):
        sign_in(f"other{number}@example.com", address=f"198.51.100.{number}")
    assert len(counts(owner)) == 3 * 16


def work_of(database: Database, work: Callable[[], Any]) -> list[str]:
    """Return the SQL statements that the work executes."""
    statements: list[str] = []

    def see(*seen: Any) -> None:
        statements.append(seen[2])

    event.listen(database.engine, "before_cursor_execute", see)
    work()
    event.remove(database.engine, "before_cursor_execute", see)
    return statements


def test_unknown_email_runs_the_same_statements_as_a_wrong_password(database: Database) -> None:
    known, disabled = make_user(database), make_user(database)
    make_user(database)
    with database.transaction(SYSTEM) as session:
        users.update_user(session, SYSTEM, disabled.user_id, status="disabled")
    for _ in range(PLACE.allowed + 1):
        first, *others = (
            work_of(database, lambda email=email: sign_in(email))  # type: ignore[misc]
            for email in (known.email, disabled.email, "missing@example.com")
        )
        assert first
        assert others == [first, first]


def test_failures_and_their_lock_are_audited_once(database: Database) -> None:
    user = make_user(database)
    for email in (user.email, "missing@example.com"):
        for _ in range(8):
            sign_in(email)
    for subject in (user.public_id, "unknown"):
        assert [action for action, of in actions(database) if of == subject] == [
            *["user.sign_in_failed"] * 5,
            "user.locked_out",
        ]


def signed_in(email: str, password: str = PASSWORD) -> Authenticated:
    return authenticator().authenticate(
        authenticator().sign_in(email, password, user_agent="", address=HERE).token
    )


def test_wrong_current_passwords_lock_as_well(database: Database, clock: Clock) -> None:
    user = make_user(database)
    who = signed_in(user.email)
    for _ in range(PLACE.allowed):
        with refused("wrong_password"):
            authenticator().change_password(who, current=WRONG, new=NEW, address=HERE)
    with refused("too_many_attempts"):
        authenticator().change_password(who, current=PASSWORD, new=NEW, address=HERE)
    assert sign_in(user.email, PASSWORD) == "too_many_attempts"
    assert actions(database)[-2:] == [
        ("user.password_change_failed", user.public_id),
        ("user.locked_out", user.public_id),
    ]
    clock.moment += PLACE.lock
    authenticator().change_password(who, current=PASSWORD, new=NEW, address=HERE)
    assert sign_in(user.email, NEW) == ""


def test_weak_new_password_is_not_counted(database: Database) -> None:
    user = make_user(database)
    who = signed_in(user.email)
    for _ in range(PLACE.allowed + 1):
        for current, new in ((PASSWORD, "short"), (WRONG, WRONG), (WRONG, user.email)):
            with pytest.raises(BillingError) as caught:
                authenticator().change_password(who, current=current, new=new, address=HERE)
            assert caught.value.code in ("password_too_short", "password_unchanged", "password_too_common")
    authenticator().change_password(who, current=PASSWORD, new=NEW, address=HERE)


def test_one_time_password_must_be_changed_first(database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        made = users.create_user(session, SYSTEM, email="eve@example.com", name="Eve", role="finance")
    who = signed_in("eve@example.com", str(made.one_time_password))
    with refused("password_change_required"):
        actor_of(who)
    authenticator().change_password(who, current=str(made.one_time_password), new=NEW, address=HERE)
    assert actor_of(signed_in("eve@example.com", NEW)).read_only

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
from billing_app.errors import BillingError, TooManyAttempts
from billing_app.jobs.authentication import actor_of
from billing_app.services.audit import log as audit_log
from billing_app.services.identity import passwords, sessions, sign_in_attempts, users
from tests.conftest import Clock
from tests.factories import PASSWORD, make_user
from tests.refusals import refused
from tests.runtimes import authenticator, installed

ACCOUNT, ADDRESS = sign_in_attempts.ACCOUNT, sign_in_attempts.ADDRESS
WRONG = "wrong horse battery"
NEW = "another horse battery"
HERE = "192.0.2.1"


@pytest.fixture(autouse=True)
def process(database: Database) -> Iterator[None]:
    """This test's database is the process's."""
    with installed(database):
        yield


def sign_in(email: str, password: str = WRONG, address: str = HERE) -> str:
    """The code of what came of it, empty for a session."""
    try:
        authenticator().sign_in(email, password, user_agent="", address=address)
    except BillingError as refusal:
        return refusal.code
    return ""


def failures(email: str, times: int, **options: Any) -> None:
    assert [sign_in(email, **options) for _ in range(times)] == ["invalid_credentials"] * times


def retry_after(email: str, address: str = HERE) -> int:
    with pytest.raises(TooManyAttempts) as caught:
        authenticator().sign_in(email, PASSWORD, user_agent="", address=address)
    assert caught.value.retry_after_seconds is not None
    return caught.value.retry_after_seconds


def actions(database: Database) -> list[tuple[str, str]]:
    """What the audit log has of sign-ins, the oldest first."""
    with database.transaction(SYSTEM) as session:
        entries = audit_log.list_audit_entries(session, SYSTEM, limit=200).items
    return [(each.action, each.subject) for each in reversed(entries) if each.action != "user.created"]


def counts(owner: psycopg.Connection) -> list[tuple[Any, ...]]:
    return owner.execute("SELECT kind, failures, locked_until FROM sign_in_attempt ORDER BY kind").fetchall()


def test_five_failures_lock_for_a_minute_then_for_twice_as_long_each(
    database: Database, clock: Clock, owner: psycopg.Connection
) -> None:
    user = make_user(database)
    failures(user.email, 5)
    for minutes in (1, 2, 4, 8, 15, 15):
        assert retry_after(user.email) == minutes * 60
        clock.moment += timedelta(minutes=minutes, seconds=-1)
        assert retry_after(user.email) == 1
        clock.moment += timedelta(seconds=1)
        failures(user.email, 1)
    clock.moment += timedelta(minutes=15)
    assert sign_in(user.email, PASSWORD) == ""
    assert [kind for kind, failed, _ in counts(owner) if failed and kind == "account"] == []
    failures(user.email, 4)


def test_a_lock_stays_within_its_bound_however_many_failures() -> None:
    assert ACCOUNT.lock_after(10**9) == ACCOUNT.lock_max == timedelta(minutes=15)
    # Or a lock would outlive the count that made it.
    assert ACCOUNT.lock_max < ACCOUNT.window
    assert ADDRESS.lock_max <= ADDRESS.window


def test_while_locked_no_password_is_looked_at_and_nothing_is_counted(
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


def test_of_fifty_guesses_at_once_five_are_looked_at(
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
    # Not only answered so: a guess that is looked at and refused afterwards was one all the same.
    assert len(looks) == ACCOUNT.allowed
    assert found.count("invalid_credentials") == ACCOUNT.allowed
    assert found.count("too_many_attempts") == 50 - ACCOUNT.allowed


def test_an_attempt_is_committed_before_the_password_is_looked_at(
    database: Database, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, seen, matches = make_user(database), [], passwords.matches

    def look(*arguments: Any) -> bool:
        seen.append([failed for _, failed, _ in counts(owner)])
        return matches(*arguments)

    monkeypatch.setattr(passwords, "matches", look)
    assert sign_in(user.email, PASSWORD) == ""
    assert seen == [[1, 1]]


def test_a_right_password_begins_the_accounts_count_anew(database: Database) -> None:
    user = make_user(database)
    for _ in range(3):
        failures(user.email, 4)
        assert sign_in(user.email, PASSWORD) == ""


def test_the_fifth_attempt_may_still_be_right(database: Database) -> None:
    user = make_user(database)
    failures(user.email, 4)
    assert sign_in(user.email, PASSWORD) == ""
    assert "user.locked_out" not in dict(actions(database))


def test_failures_are_forgotten_after_a_quiet_hour_and_no_sooner(database: Database, clock: Clock) -> None:
    user = make_user(database)
    for _ in range(4):
        failures(user.email, 1)
        clock.moment += timedelta(minutes=59)
    failures(user.email, 1)
    assert retry_after(user.email) == 60
    clock.moment += timedelta(minutes=60)
    failures(user.email, 4)
    assert sign_in(user.email, PASSWORD) == ""


def test_the_spellings_of_one_email_are_one_account(database: Database) -> None:
    make_user(database, email="iris@example.com")
    # The dotted capital I is another letter, whatever the locale of the database.
    failures("\u0130ris@example.com", 1)
    for email in ("IRIS@example.com", " iris@example.com ", "iri\u017f@example.com", "iris@EXAMPLE.com"):
        failures(email, 1)
    failures("iris@example.com", 1)
    assert sign_in("IRI\u0053@example.com") == "too_many_attempts"


def test_unknown_emails_lock_alike(database: Database, clock: Clock) -> None:
    make_user(database)
    for email in ("nobody@example.com", "a\0b", "\ud800"):
        failures(email, 5, address=email.encode(errors="replace").hex())
        assert retry_after(email) == 60
        clock.moment += timedelta(hours=1)


def test_an_address_has_fifty_failures_in_a_quarter_of_an_hour(database: Database, clock: Clock) -> None:
    user = make_user(database)
    for number in range(49):
        failures(f"nobody{number}@example.com", 1)
        # A right password takes its own attempt back and no other.
        assert sign_in(user.email, PASSWORD) == ""
    clock.moment += timedelta(minutes=5)
    failures("nobody@example.com", 1)
    assert retry_after(user.email) == 15 * 60
    assert sign_in(user.email, PASSWORD, address="192.0.2.2") == ""
    clock.moment += timedelta(minutes=15)
    assert sign_in(user.email, PASSWORD) == ""
    assert [action for action, _ in actions(database)].count("address.locked_out") == 1


def test_an_address_counts_from_its_first_failure(database: Database, clock: Clock) -> None:
    # A large office that mistypes now and then is no attack.
    for number in range(60):
        failures(f"nobody{number}@example.com", 1)
        clock.moment += timedelta(seconds=20)


def test_the_same_network_is_one_address(database: Database, subtests: pytest.Subtests) -> None:
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


def test_nothing_that_was_typed_is_kept(database: Database, owner: psycopg.Connection) -> None:
    sign_in("my-password-by-mistake@example.com", "my other secret")
    kept = str(owner.execute("SELECT a::text FROM sign_in_attempt a").fetchall())
    kept += str(owner.execute("SELECT a::text FROM audit_entry a").fetchall())
    assert "mistake" not in kept
    assert "secret" not in kept
    assert HERE in kept


def test_old_rows_are_forgotten_in_passing(
    database: Database, clock: Clock, owner: psycopg.Connection
) -> None:
    for number in range(30):
        sign_in(f"nobody{number}@example.com", address=f"192.0.2.{number}")
    clock.moment += timedelta(hours=1)
    for number in range(8):
        sign_in(f"somebody{number}@example.com", address=f"198.51.100.{number}")
    assert len(counts(owner)) == 2 * 8


def work_of(database: Database, work: Callable[[], Any]) -> list[str]:
    """The statements that it takes."""
    statements: list[str] = []

    def see(*seen: Any) -> None:
        statements.append(seen[2])

    event.listen(database.engine, "before_cursor_execute", see)
    work()
    event.remove(database.engine, "before_cursor_execute", see)
    return statements


def test_an_unknown_email_takes_the_same_statements_as_a_wrong_password(database: Database) -> None:
    known, disabled = make_user(database), make_user(database)
    make_user(database)
    with database.transaction(SYSTEM) as session:
        users.update_user(session, SYSTEM, disabled.user_id, status="disabled")
    for _ in range(ACCOUNT.allowed + 1):
        first, *others = (
            work_of(database, lambda email=email: sign_in(email))  # type: ignore[misc]
            for email in (known.email, disabled.email, "nobody@example.com")
        )
        assert first
        assert others == [first, first]


def test_failures_and_the_lock_are_audited_once(database: Database) -> None:
    user = make_user(database)
    for email in (user.email, "nobody@example.com"):
        for _ in range(8):
            sign_in(email)
    for subject in (user.public_id, "unknown"):
        assert [action for action, of in actions(database) if of == subject] == [
            *["user.sign_in_failed"] * 5,
            "user.locked_out",
        ]


def signed_in(email: str, password: str = PASSWORD) -> sessions.Authenticated:
    return authenticator().authenticate(
        authenticator().sign_in(email, password, user_agent="", address=HERE).token
    )


def test_guessing_the_present_password_locks_as_well(database: Database, clock: Clock) -> None:
    user = make_user(database)
    who = signed_in(user.email)
    for _ in range(ACCOUNT.allowed):
        with refused("wrong_password"):
            authenticator().change_password(who, current=WRONG, new=NEW, address=HERE)
    with refused("too_many_attempts"):
        authenticator().change_password(who, current=PASSWORD, new=NEW, address=HERE)
    assert sign_in(user.email, PASSWORD) == "too_many_attempts"
    assert actions(database)[-2:] == [
        ("user.password_change_failed", user.public_id),
        ("user.locked_out", user.public_id),
    ]
    clock.moment += ACCOUNT.lock
    authenticator().change_password(who, current=PASSWORD, new=NEW, address=HERE)
    assert sign_in(user.email, NEW) == ""


def test_a_weak_new_password_is_no_attempt(database: Database) -> None:
    user = make_user(database)
    who = signed_in(user.email)
    for _ in range(ACCOUNT.allowed + 1):
        for current, new in ((PASSWORD, "short"), (WRONG, WRONG), (WRONG, user.email)):
            with pytest.raises(BillingError) as caught:
                authenticator().change_password(who, current=current, new=new, address=HERE)
            assert caught.value.code in ("password_too_short", "password_unchanged", "password_too_common")
    authenticator().change_password(who, current=PASSWORD, new=NEW, address=HERE)


def test_a_one_time_password_lets_in_and_no_further(database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        made = users.create_user(session, SYSTEM, email="eve@example.com", name="Eve", role="finance")
    who = signed_in("eve@example.com", str(made.one_time_password))
    with refused("password_change_required"):
        actor_of(who)
    authenticator().change_password(who, current=str(made.one_time_password), new=NEW, address=HERE)
    assert actor_of(signed_in("eve@example.com", NEW)).read_only

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Role
from billing_app.services.identity import queries, sessions, users
from tests.factories import PASSWORD, actor_of, make_user
from tests.races import at_once, codes, overlap
from tests.refusals import refused

SECRET = "s" * 32


def create(database: Database, **details: Any) -> users.NewUser:
    defaults = {"email": "eve@example.com", "name": "Eve", "role": "billing"}
    with database.transaction(SYSTEM) as session:
        return users.create_user(session, SYSTEM, **{**defaults, **details})


def update(database: Database, user: users.UserRow, **changes: Any) -> users.UserRow:
    with database.transaction(SYSTEM) as session:
        return users.update_user(session, SYSTEM, user.user_id, **changes)


def test_user_is_created_with_the_given_values(database: Database) -> None:
    made = create(database, email=" Eve@Example.com ", name=" Eve  Adams ", password=PASSWORD)
    assert made.one_time_password is None
    assert (made.user.email, made.user.name) == ("Eve@Example.com", "Eve  Adams")
    assert (made.user.role, made.user.status, made.user.version) == ("billing", "active", 1)
    assert made.user.public_id == f"usr_{made.user.user_id}"
    assert not made.user.must_change_password


def test_user_without_a_password_gets_a_one_time_password_to_change(database: Database) -> None:
    made = create(database)
    assert made.one_time_password is not None
    with database.transaction(SYSTEM) as session:
        signed_in = sessions.sign_in(
            session, SYSTEM, email="eve@example.com", password=made.one_time_password, secret=SECRET
        )
    assert signed_in.user.must_change_password


def test_secrets_are_in_no_representation(database: Database) -> None:
    made = create(database)
    assert made.one_time_password is not None
    assert made.one_time_password not in repr(made)
    assert "$2b$" not in repr(made)


def test_email_is_unique_among_users_ignoring_case(database: Database) -> None:
    create(database)
    with refused("email_taken"):
        create(database, email="EVE@EXAMPLE.COM")


def test_concurrent_users_with_the_same_email_create_one(database: Database) -> None:
    outcomes = at_once(
        database,
        [
            lambda session: users.create_user(
                session, SYSTEM, email="eve@example.com", name="Eve", role="billing", password=PASSWORD
            )
        ]
        * 6,
    )
    assert codes(outcomes) == ["email_taken"] * 5


def test_weak_password_is_rejected(database: Database, subtests: pytest.Subtests) -> None:
    for password, code in [
        ("elevenchars", "password_too_short"),
        ("passwordpassword", "password_too_common"),
        ("PasswordPassword", "password_too_common"),
        ("aaaaaaaaaaaaaaaa", "password_too_common"),
        ("é" * 20 + "abcdefghijklmnopqrstuvwxyz1234567", "password_too_long"),
        ("x1y2" * 18 + "z", "password_too_long"),
        (123456789012, "invalid"),
    ]:
        with subtests.test(password=password, code=code), refused(code, field="password"):
            create(database, password=password)


def test_all_72_bytes_of_a_password_are_checked(database: Database) -> None:
    password = "x1y2" * 17 + "last"
    create(database, password=password)
    with database.transaction(SYSTEM) as session:
        sessions.sign_in(session, SYSTEM, email="eve@example.com", password=password, secret=SECRET)
    for wrong in (password[:-1] + "T", password + "x"):
        with refused("invalid_credentials"), database.transaction(SYSTEM) as session:
            sessions.sign_in(session, SYSTEM, email="eve@example.com", password=wrong, secret=SECRET)


def test_invalid_field_is_named(database: Database, subtests: pytest.Subtests) -> None:
    for details, field in [
        ({"email": "eve"}, "email"),
        ({"email": "eve@@example.com"}, "email"),
        ({"email": "eve@example.com\0"}, "email"),
        ({"email": ["eve@example.com"]}, "email"),
        ({"email": "e" * 300 + "@example.com"}, "email"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": 5}, "name"),
        ({"role": "owner"}, "role"),
        ({"role": None}, "role"),
        ({"role": []}, "role"),
    ]:
        with subtests.test(details=details, field=field), refused("invalid", field=field):
            create(database, **details)


def test_each_change_is_a_version_and_a_stale_one_is_rejected(database: Database) -> None:
    make_user(database)
    eve = create(database).user
    changed = update(database, eve, name="Eva", role="finance", version=1)
    assert (changed.name, changed.role, changed.version) == ("Eva", "finance", 2)
    with refused("stale") as caught:
        update(database, eve, name="Ava", version=1)
    assert caught.value.facts["newer"]["name"] == "Eva"
    assert update(database, eve, name="Eva", version=2).version == 2


def test_unknown_user_is_not_found(database: Database) -> None:
    for user_id in (99, 2**80, -1):
        with refused("user_not_found"), database.transaction(SYSTEM) as session:
            users.update_user(session, SYSTEM, user_id, name="Eve")
    with refused("invalid", field="user"), database.transaction(SYSTEM) as session:
        users.get_user(session, SYSTEM, "usr_1")  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"role": "billing"}, {"status": "disabled"}])
def test_last_active_admin_cannot_be_removed(database: Database, change: dict[str, str]) -> None:
    last = make_user(database)
    update(database, make_user(database), status="disabled")
    with refused("last_admin"):
        update(database, last, **change)
    assert update(database, last, name="Still here").role is Role.ADMIN


def test_concurrent_mutual_demotions_leave_one_admin(database: Database) -> None:
    ada, eve = make_user(database), make_user(database)
    outcome = overlap(
        database,
        lambda session: users.update_user(session, actor_of(ada), eve.user_id, role="billing"),
        lambda session: users.update_user(session, actor_of(eve), ada.user_id, status="disabled"),
    )
    assert outcome.second_waited
    assert codes([outcome.second]) == ["last_admin"]


def test_disabled_user_is_signed_out_permanently(database: Database) -> None:
    make_user(database)
    eve = make_user(database, Role.BILLING)
    with database.transaction(SYSTEM) as session:
        token = sessions.sign_in(session, SYSTEM, email=eve.email, password=PASSWORD, secret=SECRET).token
    update(database, eve, status="disabled")
    update(database, eve, status="active")
    with refused("invalid_token"), database.transaction(SYSTEM) as session:
        queries.authenticate(session, token=token, secret=SECRET)


def reset(database: Database, user_id: Any, actor: Actor = SYSTEM) -> users.NewUser:
    with database.transaction(actor) as session:
        return users.reset_password(session, actor, user_id)


def sign_in(database: Database, email: str, password: str = PASSWORD) -> sessions.SignedIn:
    with database.transaction(SYSTEM) as session:
        return sessions.sign_in(session, SYSTEM, email=email, password=password, secret=SECRET)


def test_user_with_a_lost_password_gets_a_one_time_password(database: Database) -> None:
    eve = make_user(database, Role.BILLING)
    token = sign_in(database, eve.email).token
    made = reset(database, eve.user_id)
    assert made.one_time_password is not None
    assert made.one_time_password not in repr(made)
    assert made.user.must_change_password
    with refused("invalid_token"), database.transaction(SYSTEM) as session:
        queries.authenticate(session, token=token, secret=SECRET)
    with refused("invalid_credentials"):
        sign_in(database, eve.email)
    assert sign_in(database, eve.email, made.one_time_password).user.must_change_password
    again = reset(database, eve.user_id)
    assert again.one_time_password != made.one_time_password
    with refused("invalid_credentials"):
        sign_in(database, eve.email, made.one_time_password)


def test_admin_cannot_reset_their_own_password(database: Database) -> None:
    ada = make_user(database)
    with refused("own_password"):
        reset(database, ada.user_id, actor_of(ada))
    assert not sign_in(database, ada.email).user.must_change_password


def test_only_admins_create_one_time_passwords(database: Database, billing: Actor) -> None:
    eve = make_user(database, Role.FINANCE)
    with refused("forbidden"):
        reset(database, eve.user_id, billing)
    for user_id, code in ((99, "user_not_found"), (2**80, "user_not_found"), ("usr_1", "invalid")):
        with refused(code):
            reset(database, user_id)


def test_concurrent_sign_in_does_not_survive_a_password_reset(database: Database) -> None:
    eve = make_user(database, Role.FINANCE)
    outcome = overlap(
        database,
        lambda session: sessions.sign_in(session, SYSTEM, email=eve.email, password=PASSWORD, secret=SECRET),
        lambda session: users.reset_password(session, SYSTEM, eve.user_id),
    )
    assert outcome.second_waited
    with refused("invalid_token"), database.transaction(SYSTEM) as session:
        queries.authenticate(session, token=outcome.first.token, secret=SECRET)


def test_search_finds_composed_and_decomposed_letters_in_either_case(
    database: Database, admin: Actor
) -> None:
    composed, decomposed = "Jos\u00e9 \u00d6st", "Jose\u0301 O\u0308st"
    for number, name in enumerate((composed, decomposed)):
        assert make_user(database, name=name, email=f"jose{number}@example.com").name == composed
    searches = (composed, decomposed, composed.upper(), decomposed.upper(), decomposed.lower(), "e\u0301 ")
    for search in searches:
        with database.transaction(admin) as session:
            assert len(users.list_users(session, admin, search=search).items) == 2, ascii(search)


def test_users_are_found_by_name_email_role_and_status(database: Database, admin: Actor) -> None:
    make_user(database, name="Beth 100%", email="beth@one.example")
    make_user(database, Role.FINANCE, name="carl", email="carl@two.example")
    gone = make_user(database, Role.FINANCE, name="Dora", email="dora@two.example")
    update(database, gone, status="disabled")

    def found(**asked: str) -> list[str]:
        with database.transaction(admin) as session:
            return [user.name for user in users.list_users(session, admin, **asked).items]

    assert found(search="BETH") == ["Beth 100%"]
    assert found(search="@two.") == ["carl", "Dora"]
    assert found(search="%") == ["Beth 100%"]
    assert found(search="missing") == []
    assert found(role="finance") == ["carl", "Dora"]
    assert found(role="finance", status="active") == ["carl"]
    for asked in ({"role": "owner"}, {"status": "gone"}):
        with refused("invalid"):
            found(**asked)


def listed(database: Database, admin: Actor, **asked: str) -> list[str]:
    """Return the names of all users, read two at a time."""
    names, cursor = [], None
    while True:
        with database.transaction(admin) as session:
            page = users.list_users(session, admin, limit=2, cursor=cursor, **asked)
        names += [user.name for user in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return names


def test_users_are_listed_by_name_in_pages(database: Database, admin: Actor) -> None:
    for name in ("beth", "Adam", "carl", "Adam"):
        make_user(database, name=name)
    assert listed(database, admin) == ["Adam", "Adam", "beth", "carl"]


def test_users_are_sorted_by_name_role_and_last_sign_in(
    database: Database, admin: Actor, owner: psycopg.Connection
) -> None:
    for name, role, signed_in in (
        ("ann", Role.FINANCE, "2026-11-03"),
        ("Bob", Role.ADMIN, None),
        ("cid", Role.BILLING, "2026-11-01"),
        ("Dee", Role.ADMIN, None),
    ):
        made = make_user(database, role, name=name)
        owner.execute(
            "UPDATE user_account SET last_sign_in_at = %s WHERE user_id = %s", (signed_in, made.user_id)
        )
    for sort, expected in (
        ("name", ["ann", "Bob", "cid", "Dee"]),
        ("role", ["Bob", "Dee", "cid", "ann"]),
        ("signed_in", ["Bob", "Dee", "cid", "ann"]),
    ):
        assert listed(database, admin, sort=sort) == expected
        assert listed(database, admin, sort=f"-{sort}") == expected[::-1]
    with database.transaction(admin) as session:
        by_name = users.list_users(session, admin, limit=1).next_cursor
    for asked in ({"sort": "colour"}, {"sort": "role", "cursor": by_name}):
        with refused("invalid"), database.transaction(admin) as session:
            users.list_users(session, admin, **asked)


def test_first_admin_is_created_only_in_an_empty_database(database: Database) -> None:
    for email in ("first@example.com", "second@example.com"):
        with database.transaction(SYSTEM) as session:
            users.create_first_admin(session, SYSTEM, email, PASSWORD)
    with database.transaction(SYSTEM) as session:
        page = users.list_users(session, SYSTEM)
    assert [(user.email, user.role) for user in page.items] == [("first@example.com", "admin")]


def test_concurrent_servers_create_one_first_admin(database: Database) -> None:
    outcome = overlap(
        database,
        lambda session: users.create_first_admin(session, SYSTEM, "first@example.com", PASSWORD),
        lambda session: users.create_first_admin(session, SYSTEM, "second@example.com", PASSWORD),
    )
    assert outcome.second_waited
    assert outcome.second is None

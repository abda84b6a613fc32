from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Role, Scope
from billing_app.errors import Unauthenticated
from billing_app.services.audit import log as audit_log
from billing_app.services.identity import api_tokens
from tests.conftest import Clock
from tests.factories import actor_of, make_user
from tests.loops import in_a_loop
from tests.refusals import refused
from tests.runtimes import authenticator, installed


@pytest.fixture(autouse=True)
def process(database: Database) -> Iterator[None]:
    """Install this test's database as that of the process."""
    with installed(database):
        yield


@pytest.fixture
def ada(database: Database) -> Actor:
    return actor_of(make_user(database))


def create(database: Database, actor: Actor = SYSTEM, **details: Any) -> api_tokens.NewToken:
    defaults = {"name": "meter", "scopes": ["usage:write"]}
    with database.transaction(actor) as session:
        return api_tokens.create_token(session, actor, **{**defaults, **details})


def identified(token: str) -> Actor:
    async def identify() -> Actor:
        try:
            return await authenticator().token_actor(token)
        finally:
            # Waits until the use is noted.
            await authenticator().close()

    return in_a_loop(identify())


def listed(database: Database) -> list[api_tokens.TokenRow]:
    with database.transaction(SYSTEM) as session:
        return list(api_tokens.list_tokens(session, SYSTEM).items)


def revoke(database: Database, token: str) -> None:
    with database.transaction(SYSTEM) as session:
        api_tokens.revoke_token(session, SYSTEM, token)


def test_token_is_an_actor_with_its_scopes(database: Database, ada: Actor, clock: Clock) -> None:
    made = create(database, ada, name=" Meter 7 ", scopes=["read", "usage:write"])
    assert made.row.created_by == ada.id
    assert made.row.created_at == clock.moment
    scopes = frozenset({Scope.READ, Scope.USAGE_WRITE})
    assert identified(made.token) == Actor("token", made.row.public_id, "Meter 7", scopes=scopes)


def test_token_is_found_by_its_id(database: Database, ada: Actor, billing: Actor) -> None:
    made = create(database, ada, name="Meter 7")
    with database.transaction(ada) as session:
        assert api_tokens.get_token(session, ada, made.row.public_id) == made.row
        for unknown in ("tok_99", "usr_1", "\0", ""):
            with refused("token_not_found"):
                api_tokens.get_token(session, ada, unknown)
    with refused("forbidden"), database.transaction(billing) as session:
        api_tokens.get_token(session, billing, made.row.public_id)


def test_reading_token_is_read_only(database: Database) -> None:
    assert identified(create(database, scopes=["read"]).token).read_only
    assert not identified(create(database).token).read_only


def test_token_secret_is_only_in_the_response(database: Database, owner: psycopg.Connection) -> None:
    made = create(database)
    identified(made.token)
    revoke(database, made.row.public_id)
    assert len(made.token) == len("tbk_") + 43
    assert made.token not in repr(made)
    tables = [row[0] for row in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    everything = "".join(str(owner.execute(f"SELECT t::text FROM {table} t").fetchall()) for table in tables)  # type: ignore[arg-type]
    assert made.row.public_id in everything
    assert made.token.removeprefix("tbk_") not in everything


def test_text_that_is_not_our_token_is_rejected(database: Database) -> None:
    token = create(database).token
    other = create(database).row
    for bad in (
        "", "tbk_", token[:-1], token + "x", token.upper(), token.lower(), f" {token}", f"{token}\0",
        token.removeprefix("tbk_"), "tbk_" + "x" * 43, "tbk_" + "x" * 100_000, "tbk_\ud800", "tbk_é", other.public_id,
    ):  # fmt: skip
        with refused("invalid_token"):
            identified(bad)
    # The stored hash, which an attacker may have read from the database.
    with database.transaction(SYSTEM) as session:
        kept = session.execute(text("SELECT token_sha256 FROM api_token")).scalars().all()
    for sha256 in kept:
        with refused("invalid_token"):
            identified(f"tbk_{sha256}")
        with refused("invalid_token"):
            identified(sha256)


def test_concurrent_lookups_return_their_own_actors(database: Database) -> None:
    made = [create(database, name=f"meter {number}") for number in range(20)]
    revoke(database, made[7].row.public_id)
    asked = [made[number % 20].token if number % 3 else "tbk_unknown" for number in range(200)]

    async def identify_all() -> list[Actor | BaseException]:
        return await asyncio.gather(*map(authenticator().token_actor, asked), return_exceptions=True)

    for number, answer in enumerate(in_a_loop(identify_all())):
        if number % 3 == 0 or number % 20 == 7:
            assert isinstance(answer, Unauthenticated)
        else:
            assert isinstance(answer, Actor)
            assert answer.id == made[number % 20].row.public_id


def test_api_token_is_not_a_session(database: Database) -> None:
    with refused("invalid_token"):
        authenticator().authenticate(create(database).token)


def test_revoked_token_is_invalid_at_once_and_revoking_again_changes_nothing(
    database: Database, clock: Clock
) -> None:
    made, other = create(database), create(database)
    for _ in range(2):
        revoke(database, made.row.public_id)
        clock.moment += timedelta(minutes=5)
        with refused("invalid_token"):
            identified(made.token)
    identified(other.token)
    row = next(row for row in listed(database) if row.token_id == made.row.token_id)
    assert row.revoked_at == clock.moment - timedelta(minutes=10)
    with database.transaction(SYSTEM) as session:
        entries = audit_log.list_audit_entries(session, SYSTEM, subject=made.row.public_id).items
    assert [entry.action for entry in entries] == ["token.revoked", "token.created"]


@pytest.mark.parametrize("token", ["tok_99", "usr_1", "", "tok_0", "tok_1\0", "tok_" + "9" * 30])
def test_unknown_token_is_not_found(database: Database, token: str) -> None:
    with refused("token_not_found"):
        revoke(database, token)


@pytest.mark.parametrize(
    ("details", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": None}, "scopes"),
        ({"scopes": "read"}, "scopes"),
        ({"scopes": ["admin"]}, "scopes"),
        ({"scopes": ["read", "read"]}, "scopes"),
        ({"scopes": [["read"]]}, "scopes"),
        ({"name": "  "}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "x" * 201}, "name"),
    ],
)
def test_invalid_field_is_named(database: Database, details: dict[str, Any], field: str) -> None:
    with refused("invalid", field=field):
        create(database, **details)


def test_only_admins_create_read_or_revoke_tokens(database: Database, billing: Actor, finance: Actor) -> None:
    reader = identified(create(database, scopes=["read"]).token)
    writer = identified(create(database).token)
    for actor in (billing, finance, reader, writer):
        with refused("forbidden"):
            create(database, actor)
        with refused("forbidden"), database.transaction(actor) as session:
            api_tokens.list_tokens(session, actor)
        with refused("forbidden"), database.transaction(actor) as session:
            api_tokens.revoke_token(session, actor, "tok_1")


def test_last_use_is_noted_once_a_minute(database: Database, clock: Clock, owner: psycopg.Connection) -> None:
    made = create(database)
    assert listed(database)[0].last_used_at is None
    first = clock.moment
    for seconds, noted in ((0, 0), (30, 0), (59, 0), (60, 60), (61, 60)):
        clock.moment = first + timedelta(seconds=seconds)
        identified(made.token)
        assert listed(database)[0].last_used_at == first + timedelta(seconds=noted)


def test_use_within_the_same_minute_is_not_noted_again(database: Database) -> None:
    token = create(database).token
    identified(token)
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))
    identified(token)
    # The lookup itself uses the driver.
    assert statements == []


def test_noting_a_use_never_waits_and_may_fail(
    database: Database, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(database)
    with owner.transaction():
        owner.execute("SELECT FROM api_token FOR UPDATE")
        # Would hang if it waited for the row's lock.
        assert identified(made.token).id == made.row.public_id
    assert listed(database)[0].last_used_at is None

    def fail(*_: Any) -> None:
        raise OperationalError("UPDATE", {}, Exception("the disk is full"))

    monkeypatch.setattr(api_tokens, "note_use", fail)
    assert identified(made.token).id == made.row.public_id


def test_lookup_does_not_wait_until_its_use_is_noted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(database)
    has_answer = threading.Event()
    noted = []

    def wait(*_: Any) -> None:
        noted.append(has_answer.wait(10))

    monkeypatch.setattr(api_tokens, "note_use", wait)

    async def identify_twice() -> None:
        for _ in range(2):
            await authenticator().token_actor(made.token)
        has_answer.set()
        await authenticator().close()

    in_a_loop(identify_twice())
    assert noted == [True]


def test_tokens_are_paged_newest_first(database: Database, clock: Clock) -> None:
    made = []
    for number in range(5):
        clock.moment += timedelta(minutes=number % 2)
        made.append(create(database).row.token_id)
    found: list[int] = []
    cursor = None
    while True:
        with database.transaction(SYSTEM) as session:
            page = api_tokens.list_tokens(session, SYSTEM, limit=2, cursor=cursor)
        found += [row.token_id for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == made[::-1]


def test_session_token_is_not_an_api_token(database: Database) -> None:
    user = make_user(database, Role.BILLING)
    token = authenticator().sign_in(user.email, "correct horse battery", user_agent="", address="").token
    with refused("invalid_token"):
        identified(token)

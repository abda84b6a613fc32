from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import bcrypt
import jwt
import pytest
from sqlalchemy import event

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor, Role
from billing_app.services.identity import queries, sessions, users
from billing_app.services.identity.rows import Authenticated
from billing_app.wording.refusals import refusal_sentence
from tests.conftest import Clock
from tests.factories import PASSWORD, make_user
from tests.races import codes, overlap
from tests.refusals import refused

SECRET = "a secret of sixty-four bytes, as much as the longest signature needs"
NEW_PASSWORD = "another horse battery"


def sign_in(database: Database, email: str, password: str = PASSWORD, **client: str) -> sessions.SignedIn:
    with database.transaction(SYSTEM) as session:
        return sessions.sign_in(session, SYSTEM, email=email, password=password, secret=SECRET, **client)


def authenticate(database: Database, token: str) -> Authenticated:
    """Authenticate in a READ ONLY transaction, because this must not write."""
    reader = Actor("user", "usr_0", "reader", Role.FINANCE)
    with database.transaction(reader) as session:
        return queries.authenticate(session, token=token, secret=SECRET)


def test_signing_in_returns_a_token_of_the_user(database: Database, clock: Clock) -> None:
    user = make_user(database, Role.BILLING, email="Eve@Example.com", name="Eve")
    signed_in = sign_in(database, " eve@example.COM ")
    assert signed_in.expires_in_seconds == 12 * 3600
    assert signed_in.token not in repr(signed_in)
    who = authenticate(database, signed_in.token)
    assert who.actor == Actor("user", user.public_id, "Eve", Role.BILLING)
    assert who.expires_at == clock.moment + timedelta(hours=12)
    with database.transaction(SYSTEM) as session:
        found = users.get_user(session, SYSTEM, user.user_id)
    assert found.last_sign_in_at == clock.moment


@contextmanager
def counted_checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Return a list that gets the hashes that passwords are compared with."""
    real, seen = bcrypt.checkpw, []

    def check(password: bytes, hashed: bytes) -> bool:
        seen.append(hashed)
        return real(password, hashed)

    with monkeypatch.context() as patched:
        patched.setattr(bcrypt, "checkpw", check)
        yield seen


def test_every_failed_sign_in_gets_the_same_response_after_the_same_work(
    database: Database, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    make_user(database, email="eve@example.com")
    disabled = make_user(database, email="disabled@example.com")
    with database.transaction(SYSTEM) as session:
        users.update_user(session, SYSTEM, disabled.user_id, status="disabled")
    for email, password in [
        ("eve@example.com", "wrong horse battery"),
        ("eve@example.com", ""),
        ("eve@example.com", PASSWORD + "\0"),
        ("eve@example.com", PASSWORD * 10),
        ("eve@example.com", "\ud800"),
        ("eve@example.com", None),
        ("missing@example.com", PASSWORD),
        ("disabled@example.com", PASSWORD),
        ("eve@example.com\0", PASSWORD),
        ("\ud800", PASSWORD),
        (None, PASSWORD),
    ]:
        with subtests.test(email=email, password=password):
            with counted_checks(monkeypatch) as hashes, refused("invalid_credentials") as caught:
                sign_in(database, email, password)  # type: ignore[arg-type]
            assert refusal_sentence(caught.value) == "The email or password is incorrect."
            assert [hashed[:7] for hashed in hashes] == [b"$2b$04$"]


def forged(token: str, **changes: Any) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(claims, SECRET, "HS256")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_token_with_another_signature_or_content_is_rejected(database: Database) -> None:
    eve, ada = make_user(database, Role.FINANCE), make_user(database)
    token = sign_in(database, eve.email).token
    claims = jwt.decode(token, options={"verify_signature": False})
    head, body, signature = token.split(".")
    for bad in (
        "", "x", "a.b.c", None, 7, token[:-2], f"{head}.{body}.", f"{head}.{body[:-1]}.{signature}", "\ud800",
        jwt.encode(claims, "", "none"),
        jwt.encode(claims, SECRET, "HS512"),
        jwt.encode(claims, "z" * 40, "HS256"),
        forged(token, iss="someone-else"),
        forged(token, aud="something"),
        forged(token, sub=ada.public_id),
        forged(token, sub="usr_99999999999999999999"),
        forged(token, sid="another"),
        forged(token, sid=5),
        forged(token, exp=claims["iat"]),
        forged(token, exp=str(claims["exp"])),
        forged(token, exp=True),
        forged(token, iat=claims["iat"] + 3600),
        forged(token, iat=claims["iat"] + 0.5),
        forged(token, nbf=claims["iat"] + 3600),
        forged(token, aud=["tallybook"]),
        forged(token, sid="\0"),
        forged(token, sid="x" * 10_000),
        jwt.encode(claims, SECRET, "HS256", headers={"kid": "1"}),
        b64(b"[" * 700) + f".{body}.{signature}",
        b64(b'{"alg":' + b"[" * 100_000) + f".{body}.{signature}",
        *(forged(token, **{name: None}) for name in ("sub", "sid", "iat", "exp", "iss", "aud")),
    ):  # fmt: skip
        with refused("invalid_token"):
            authenticate(database, bad)  # type: ignore[arg-type]
    assert authenticate(database, forged(token)).user.user_id == eve.user_id


def test_token_is_valid_for_twelve_hours(database: Database, clock: Clock) -> None:
    token = sign_in(database, make_user(database).email).token
    started = clock.moment
    clock.moment = started + timedelta(hours=12) - timedelta(seconds=1)
    authenticate(database, token)
    clock.moment = started + timedelta(hours=12)
    with refused("invalid_token"):
        authenticate(database, token)
    with refused("invalid_token"):
        authenticate(database, forged(token, exp=int((started + timedelta(days=9)).timestamp())))


def test_changed_role_takes_effect_at_the_next_request(database: Database) -> None:
    make_user(database)
    eve = make_user(database, Role.BILLING)
    token = sign_in(database, eve.email).token
    with database.transaction(SYSTEM) as session:
        users.update_user(session, SYSTEM, eve.user_id, role="finance")
    assert authenticate(database, token).actor.role is Role.FINANCE


def test_authenticating_is_one_query(database: Database) -> None:
    token = sign_in(database, make_user(database).email).token
    statements: list[str] = []
    event.listen(
        database.engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]), named=False
    )
    authenticate(database, token)
    assert len(statements) == 1


def test_signing_out_ends_the_token_at_once_and_repeating_it_changes_nothing(database: Database) -> None:
    user = make_user(database)
    first, second = sign_in(database, user.email), sign_in(database, user.email)
    session_id = authenticate(database, first.token).session_id
    for _ in range(2):
        with database.transaction(SYSTEM) as session:
            sessions.sign_out(session, SYSTEM, session_id=session_id)
    with refused("invalid_token"):
        authenticate(database, first.token)
    authenticate(database, second.token)


def test_disabled_user_cannot_sign_in_even_while_being_disabled(database: Database) -> None:
    make_user(database)
    eve = make_user(database)
    outcome = overlap(
        database,
        lambda session: users.update_user(session, SYSTEM, eve.user_id, status="disabled"),
        lambda session: sessions.sign_in(session, SYSTEM, email=eve.email, password=PASSWORD, secret=SECRET),
    )
    assert outcome.second_waited
    assert codes([outcome.second]) == ["invalid_credentials"]


def test_changing_the_password_ends_the_other_sessions(database: Database) -> None:
    user = make_user(database)
    here, elsewhere = sign_in(database, user.email), sign_in(database, user.email)
    with database.transaction(SYSTEM) as session:
        sessions.change_password(
            session, SYSTEM, user_id=user.user_id, current=PASSWORD, new=NEW_PASSWORD,
            keep_session_id=authenticate(database, here.token).session_id,
        )  # fmt: skip
    authenticate(database, here.token)
    with refused("invalid_token"):
        authenticate(database, elsewhere.token)
    with refused("invalid_credentials"):
        sign_in(database, user.email)
    sign_in(database, user.email, NEW_PASSWORD)


def test_password_change_requires_the_current_one_and_a_strong_new_one(
    database: Database, subtests: pytest.Subtests
) -> None:
    for current, new, code, field in [
        ("wrong horse battery", NEW_PASSWORD, "wrong_password", "current"),
        (None, NEW_PASSWORD, "wrong_password", "current"),
        (PASSWORD, "short", "password_too_short", "new"),
        (PASSWORD, PASSWORD, "password_unchanged", "new"),
        (PASSWORD, None, "invalid", "new"),
    ]:
        with subtests.test(current=current, new=new, code=code, field=field):
            user = make_user(database)
            with refused(code, field=field), database.transaction(SYSTEM) as session:
                sessions.change_password(
                    session, SYSTEM, user_id=user.user_id, current=current, new=new, keep_session_id=None
                )
            sign_in(database, user.email)


def test_replaced_one_time_password_need_not_be_changed_again(database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        made = users.create_user(session, SYSTEM, email="eve@example.com", name="Eve", role="finance")
    with database.transaction(SYSTEM) as session:
        sessions.change_password(
            session, SYSTEM, user_id=made.user.user_id, current=str(made.one_time_password),
            new=NEW_PASSWORD, keep_session_id=None,
        )  # fmt: skip
    assert not sign_in(database, "eve@example.com", NEW_PASSWORD).user.must_change_password


def test_users_see_and_end_only_their_own_sessions(database: Database, clock: Clock) -> None:
    eve, ada = make_user(database), make_user(database)
    old = authenticate(
        database, sign_in(database, eve.email, user_agent="Old\0 browser", address="::1").token
    )
    clock.moment += timedelta(minutes=5)
    new = authenticate(database, sign_in(database, eve.email).token)
    with database.transaction(new.actor) as session:
        own = sessions.list_sessions(session, new.actor, user_id=eve.user_id).items
    assert [row.session_id for row in own] == [new.session_id, old.session_id]
    assert (own[1].user_agent, own[1].address) == ("Old browser", "::1")
    with refused("forbidden"), database.transaction(new.actor) as session:
        sessions.list_sessions(session, new.actor, user_id=ada.user_id)
    for user, session_id in ((ada, old.session_id), (eve, "unknown"), (eve, "a\0"), (eve, None)):
        with refused("session_not_found"), database.transaction(SYSTEM) as session:
            sessions.end_session(session, SYSTEM, user_id=user.user_id, session_id=session_id)  # type: ignore[arg-type]
    with database.transaction(SYSTEM) as session:
        sessions.end_session(session, SYSTEM, user_id=eve.user_id, session_id=old.session_id)
        left = sessions.list_sessions(session, SYSTEM, user_id=eve.user_id).items
    assert [row.session_id for row in left] == [new.session_id]


def test_user_ends_all_other_own_sessions_at_once(database: Database) -> None:
    eve, ada = make_user(database), make_user(database)
    here, there, anothers = (
        authenticate(database, sign_in(database, who.email).token) for who in (eve, eve, ada)
    )
    for keep in (anothers.session_id, "unknown", "a\0", None):
        with refused("session_not_found"), database.transaction(SYSTEM) as session:
            sessions.end_other_sessions(session, SYSTEM, user_id=eve.user_id, keep_session_id=keep)  # type: ignore[arg-type]
    with database.transaction(SYSTEM) as session:
        assert len(sessions.list_sessions(session, SYSTEM, user_id=eve.user_id).items) == 2
        sessions.end_other_sessions(session, SYSTEM, user_id=eve.user_id, keep_session_id=here.session_id)
        left = sessions.list_sessions(session, SYSTEM, user_id=eve.user_id).items
        assert len(sessions.list_sessions(session, SYSTEM, user_id=ada.user_id).items) == 1
    assert [row.session_id for row in left] == [here.session_id]
    assert there.session_id != here.session_id


def test_sessions_are_paged(database: Database, clock: Clock) -> None:
    eve = make_user(database)
    made = []
    # Pairs of sessions have the same start time.
    for number in range(5):
        clock.moment += timedelta(minutes=number % 2)
        made.append(authenticate(database, sign_in(database, eve.email).token).session_id)
    found: list[str] = []
    cursor = None
    while True:
        with database.transaction(SYSTEM) as session:
            page = sessions.list_sessions(session, SYSTEM, user_id=eve.user_id, limit=2, cursor=cursor)
        found += [row.session_id for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(found) == sorted(made)

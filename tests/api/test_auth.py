"""Signing in and out, and users' own sessions and passwords, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.services.audit import log as audit_log
from billing_app.services.identity import api_tokens, sign_in_attempts, users
from billing_app.services.identity.rows import UserRow
from billing_app.web import BROWSER_COOKIE, EPOCH_COOKIE, SESSION_COOKIE
from tests.conftest import Clock
from tests.factories import PASSWORD, make_user
from tests.runtimes import installed

V1 = "/api/v1"
NEW = "another horse battery"
OWN = {"Origin": "http://testserver"}


@pytest.fixture
def user(anonymous: TestClient, database: Database) -> UserRow:
    return make_user(database, Role.BILLING, email="eve@example.com", name="Eve")


def sign_in(client: TestClient, password: str = PASSWORD, email: str = "eve@example.com", **more: Any) -> Any:
    return client.post(f"{V1}/auth/token", json={"email": email, "password": password}, **more)


def bearer(client: TestClient, password: str = PASSWORD, **more: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {sign_in(client, password, **more).json()['access_token']}"}


def change(client: TestClient, headers: dict[str, str], current: str = PASSWORD, new: str = NEW) -> Any:
    return client.post(f"{V1}/auth/password", json={"current": current, "new": new}, headers=headers)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_email_and_password_are_exchanged_for_a_token(anonymous: TestClient, user: UserRow) -> None:
    answer = sign_in(anonymous)
    assert answer.status_code == 200
    assert answer.json() == {
        "access_token": answer.json()["access_token"],
        "token_type": "bearer",
        "expires_in": 12 * 3600,
    }
    assert "set-cookie" not in answer.headers
    me = anonymous.get(f"{V1}/auth/me", headers=bearer(anonymous))
    assert me.json() == {"id": user.public_id, "email": user.email, "name": "Eve", "role": "billing"}


def test_every_failed_sign_in_gets_the_same_answer(
    anonymous: TestClient, user: UserRow, database: Database
) -> None:
    make_user(database)
    disabled = make_user(database)
    with database.transaction(SYSTEM) as session:
        users.update_user(session, SYSTEM, disabled.user_id, status="disabled")
    answers = [
        sign_in(anonymous, "wrong horse battery"),
        sign_in(anonymous, email="missing@example.com"),
        sign_in(anonymous, email=disabled.email),
        sign_in(anonymous, "\0", email="\0"),
        sign_in(anonymous, ""),
    ]
    assert {code(answer) for answer in answers} == {(401, "invalid_credentials")}
    assert len({answer.text for answer in answers}) == 1
    ignored = {"content-length"}
    assert len({str({**answer.headers} | dict.fromkeys(ignored)) for answer in answers}) == 1


@pytest.mark.parametrize("route", ["token", "session"])
def test_correct_password_is_locked_out_too_after_five_failures(
    anonymous: TestClient, user: UserRow, clock: Clock, route: str
) -> None:
    def post(password: str, email: str = user.email) -> Any:
        return anonymous.post(f"{V1}/auth/{route}", json={"email": email, "password": password})

    for email in (user.email, "missing@example.com"):
        assert [post("wrong horse battery", email).status_code for _ in range(5)] == [401] * 5
        for password in (PASSWORD, "wrong horse battery"):
            answer = post(password, email)
            assert code(answer) == (429, "too_many_attempts")
            assert answer.headers["retry-after"] == "60"
            assert "set-cookie" not in answer.headers
    clock.moment += timedelta(seconds=60)
    assert post(PASSWORD).status_code in (200, 204)


@pytest.fixture
def behind_a_proxy(api: FastAPI, database: Database) -> Iterator[None]:
    with installed(database, public_url="https://billing.example"):
        yield


def address_of(api: FastAPI, database: Database, peer: str, forwarded: list[str]) -> str:
    """Return the network address of a failed sign-in, as in the audit log."""
    client = TestClient(api, client=(peer, 50000))
    headers = [("X-Forwarded-For", each) for each in forwarded]
    client.post(f"{V1}/auth/token", json={"email": peer, "password": "x"}, headers=headers)
    with database.transaction(SYSTEM) as session:
        entries = audit_log.list_audit_entries(session, SYSTEM, limit=200).items
    return str(max(entries, key=lambda entry: entry.audit_id).details["address"])


def test_proxy_on_this_machine_is_trusted_behind_a_public_url(
    api: FastAPI, database: Database, behind_a_proxy: None, subtests: pytest.Subtests
) -> None:
    for peer, forwarded, address in [
        ("127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("::1", ["198.51.100.1, 2001:db8::9"], "2001:db8::9"),
        ("127.0.0.1", ["198.51.100.1", "198.51.100.2, 203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9, unknown"], "127.0.0.1"),
        ("127.0.0.2", ["203.0.113.9, "], "127.0.0.2"),
        ("127.0.0.3", [], "127.0.0.3"),
        ("192.0.2.50", ["203.0.113.9"], "192.0.2.50"),
        ("testclient", ["203.0.113.9"], "testclient"),
    ]:
        with subtests.test(peer=peer, forwarded=forwarded):
            assert address_of(api, database, peer, forwarded) == address


def test_forwarding_headers_are_ignored_without_a_public_url(api: FastAPI, database: Database) -> None:
    assert address_of(api, database, "127.0.0.1", ["203.0.113.9"]) == "127.0.0.1"


def test_invented_addresses_do_not_avoid_the_lock(
    api: FastAPI, behind_a_proxy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = TestClient(api, client=("127.0.0.1", 50000))
    found = [
        sign_in(
            client,
            email=f"{number}@example.com",
            headers={"X-Forwarded-For": f"10.0.0.{number}, 203.0.113.9"},
        ).status_code
        for number in range(sign_in_attempts.ADDRESS.allowed + 1)
    ]
    assert found == [401] * sign_in_attempts.ADDRESS.allowed + [429]


def test_failures_of_one_client_behind_a_remote_proxy_lock_no_other(api: FastAPI, database: Database) -> None:
    allowed = sign_in_attempts.ADDRESS.allowed
    with installed(database, public_url="https://billing.example", proxies="10.0.0.0/8"):
        client = TestClient(api, client=("10.0.0.7", 50000))
        senders = [("203.0.113.9", 401)] * allowed + [("203.0.113.9", 429), ("203.0.113.10", 401)]
        for number, (address, expected) in enumerate(senders):
            answer = sign_in(
                client, email=f"{number}@example.com", headers={"X-Forwarded-For": f"{address}, 10.0.0.8"}
            )
            assert answer.status_code == expected, number


def test_browser_gets_the_token_in_a_cookie_that_scripts_cannot_read(
    anonymous: TestClient, user: UserRow
) -> None:
    answer = anonymous.post(
        f"{V1}/auth/session", json={"email": user.email, "password": PASSWORD}, headers=OWN
    )
    assert (answer.status_code, answer.content) == (204, b"")
    cookie = next(each for each in answer.headers.get_list("set-cookie") if each.startswith(SESSION_COOKIE))
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= attributes
    assert "secure" not in attributes
    assert anonymous.get(f"{V1}/auth/me").json()["email"] == user.email
    assert code(anonymous.delete(f"{V1}/auth/session")) == (403, "foreign_origin")
    assert anonymous.delete(f"{V1}/auth/session", headers=OWN).status_code == 204
    assert SESSION_COOKIE not in anonymous.cookies
    assert EPOCH_COOKIE not in anonymous.cookies
    assert code(anonymous.get(f"{V1}/auth/me")) == (401, "invalid_token")


def test_cookie_is_secure_over_https(api: FastAPI, user: UserRow) -> None:
    client = TestClient(api, base_url="https://testserver")
    answer = client.post(f"{V1}/auth/session", json={"email": user.email, "password": PASSWORD})
    assert all("; Secure" in each for each in answer.headers.get_list("set-cookie"))


@pytest.mark.parametrize(
    "origin", ["https://attacker.example", "null", "", "http://testserver.attacker.example"]
)
def test_other_sites_cannot_sign_visitors_in(anonymous: TestClient, user: UserRow, origin: str) -> None:
    answer = anonymous.post(
        f"{V1}/auth/session",
        json={"email": user.email, "password": PASSWORD},
        headers={"Origin": origin},
    )
    assert code(answer) == (403, "foreign_origin")
    assert "set-cookie" not in answer.headers


def test_form_of_another_site_cannot_sign_visitors_in(anonymous: TestClient, user: UserRow) -> None:
    # Content types that browsers send to other sites without a preflight request.
    body = f'{{"email": "{user.email}", "password": "{PASSWORD}"}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = anonymous.post(f"{V1}/auth/session", content=body, headers={"Content-Type": kind})
        assert code(answer) == (415, "unsupported_media_type")
        assert "set-cookie" not in answer.headers


def test_own_sessions_are_listed_and_ended(anonymous: TestClient, user: UserRow, clock: Clock) -> None:
    old = bearer(anonymous, headers={"User-Agent": "Old browser"})
    clock.moment += timedelta(minutes=5)
    new = bearer(anonymous)
    first, second = anonymous.get(f"{V1}/auth/sessions", headers=new).json()["items"]
    assert (first["current"], second["current"]) == (True, False)
    assert second == {
        "id": second["id"],
        "created_at": "2026-11-15T12:00:00Z",
        "expires_at": "2026-11-16T00:00:00Z",
        "user_agent": "Old browser",
        "address": "testclient",
        "current": False,
    }
    page = anonymous.get(f"{V1}/auth/sessions?limit=1", headers=new).json()
    rest = anonymous.get(f"{V1}/auth/sessions", params={"cursor": page["next_cursor"]}, headers=new).json()
    assert (page["items"], rest) == ([first], {"items": [second], "next_cursor": None})
    assert anonymous.delete(f"{V1}/auth/sessions/{second['id']}", headers=new).status_code == 204
    assert code(anonymous.get(f"{V1}/auth/me", headers=old)) == (401, "invalid_token")
    assert [each["id"] for each in anonymous.get(f"{V1}/auth/sessions", headers=new).json()["items"]] == [
        first["id"]
    ]


def test_session_id_is_no_credential_and_names_only_own_sessions(
    anonymous: TestClient, user: UserRow, client: TestClient
) -> None:
    eve = bearer(anonymous)
    own = anonymous.get(f"{V1}/auth/sessions", headers=eve).json()["items"][0]["id"]
    for headers in ({"Authorization": f"Bearer {own}"}, {"Cookie": f"{SESSION_COOKIE}={own}"}):
        assert code(anonymous.get(f"{V1}/auth/me", headers=headers)) == (401, "invalid_token")
    # Not even for an admin, who has a separate endpoint for this.
    for session in (own, "unknown", "a%00b", "x" * 5000):
        assert code(client.delete(f"{V1}/auth/sessions/{session}")) == (404, "session_not_found")
    assert anonymous.get(f"{V1}/auth/me", headers=eve).status_code == 200


def test_changing_the_password_ends_the_other_sessions(anonymous: TestClient, user: UserRow) -> None:
    here, elsewhere = bearer(anonymous), bearer(anonymous)
    answer = change(anonymous, here)
    assert (answer.status_code, answer.content) == (204, b"")
    assert anonymous.get(f"{V1}/auth/me", headers=here).status_code == 200
    assert code(anonymous.get(f"{V1}/auth/me", headers=elsewhere)) == (401, "invalid_token")
    assert code(sign_in(anonymous)) == (401, "invalid_credentials")
    assert sign_in(anonymous, NEW).status_code == 200


def test_new_password_must_follow_the_rules(anonymous: TestClient, user: UserRow) -> None:
    here = bearer(anonymous)
    for current, new, refusal in [
        (PASSWORD, "xyzzy", "password_too_short"),
        (PASSWORD, "x1y2" * 19, "password_too_long"),
        (PASSWORD, "password2026", "password_too_common"),
        (PASSWORD, PASSWORD, "password_unchanged"),
        ("wrong horse battery", NEW, "wrong_password"),
        ("", NEW, "wrong_password"),
    ]:
        answer = change(anonymous, here, current, new)
        assert code(answer) == (422, refusal)
        assert answer.json()["errors"][0]["field"] == ("current" if refusal == "wrong_password" else "new")
        assert new not in answer.text
    assert sign_in(anonymous).status_code == 200


def test_stolen_session_cannot_be_used_to_guess_the_password(anonymous: TestClient, user: UserRow) -> None:
    here = bearer(anonymous)
    found = [code(change(anonymous, here, f"wrong horse battery {number}")) for number in range(8)]
    assert found == [(422, "wrong_password")] * 5 + [(429, "too_many_attempts")] * 3
    assert code(change(anonymous, here)) == (429, "too_many_attempts")


def test_other_sites_cannot_change_the_password(anonymous: TestClient, user: UserRow) -> None:
    anonymous.post(f"{V1}/auth/session", json={"email": user.email, "password": PASSWORD}, headers=OWN)
    for headers in ({}, {"Origin": "https://attacker.example"}):
        assert code(change(anonymous, headers)) == (403, "foreign_origin")
    assert change(anonymous, OWN).status_code == 204


def test_one_time_password_must_be_changed_before_anything_else(
    anonymous: TestClient, client: TestClient
) -> None:
    made = client.post(
        f"{V1}/users", json={"email": "new@example.com", "name": "New", "role": "admin"}
    ).json()
    once = bearer(anonymous, made["one_time_password"], email="new@example.com")
    for method, path in [
        ("GET", "/customers"),
        ("GET", "/users"),
        ("POST", "/users"),
        ("GET", "/tokens"),
        ("GET", "/audit"),
        ("GET", "/auth/sessions"),
        ("DELETE", "/auth/sessions/another"),
    ]:
        answer = anonymous.request(method, f"{V1}{path}", headers=once)
        assert code(answer) == (403, "password_change_required"), path
    assert anonymous.get(f"{V1}/auth/me", headers=once).json()["id"] == made["id"]
    assert change(anonymous, once, made["one_time_password"]).status_code == 204
    assert anonymous.get(f"{V1}/users", headers=once).status_code == 200
    assert code(sign_in(anonymous, made["one_time_password"], email="new@example.com"))[0] == 401


def test_api_token_has_no_account(anonymous: TestClient, database: Database) -> None:
    for scope in ("read", "usage:write"):
        with database.transaction(SYSTEM) as session:
            token = api_tokens.create_token(session, SYSTEM, name="Meter", scopes=[scope]).token
        headers = {"Authorization": f"Bearer {token}"}
        for method, path in [
            ("GET", "/auth/me"),
            ("GET", "/auth/sessions"),
            ("DELETE", "/auth/session"),
            ("DELETE", "/auth/sessions/x"),
        ]:
            assert code(anonymous.request(method, f"{V1}{path}", headers=headers)) == (403, "forbidden")
        assert code(change(anonymous, headers)) == (403, "forbidden")


def sign_in_browser(client: TestClient, password: str = PASSWORD) -> Any:
    return client.post(
        f"{V1}/auth/session",
        json={"email": "eve@example.com", "password": password},
        headers={"Origin": "http://testserver"},
    )


def test_browser_is_known_by_a_cookie_of_the_authentication_endpoints(
    anonymous: TestClient, user: UserRow
) -> None:
    answer = sign_in_browser(anonymous)
    (cookie,) = [each for each in answer.headers.get_list("set-cookie") if BROWSER_COOKIE in each]
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/api/v1/auth", "Max-Age=7776000"):
        assert attribute in cookie
    token = anonymous.cookies[BROWSER_COOKIE]
    assert token not in anonymous.get("/api/v1/audit").text
    # The same browser keeps its token, also after signing out.
    assert anonymous.delete(f"{V1}/auth/session", headers={"Origin": "http://testserver"}).status_code == 204
    assert sign_in_browser(anonymous).status_code == 204
    assert anonymous.cookies[BROWSER_COOKIE] == token


def test_known_browser_signs_in_where_an_attacker_locked_the_address(
    api: FastAPI, anonymous: TestClient, user: UserRow
) -> None:
    assert sign_in_browser(anonymous).status_code == 204
    stranger = TestClient(api)
    for _ in range(5):
        assert sign_in_browser(stranger, "wrong horse battery").status_code == 401
    assert code(sign_in_browser(stranger)) == (429, "too_many_attempts")
    assert sign_in_browser(anonymous).status_code == 204
    bearer_of_browser = anonymous.cookies[SESSION_COOKIE]
    answer = change(anonymous, {"Authorization": f"Bearer {bearer_of_browser}"})
    assert answer.status_code == 204

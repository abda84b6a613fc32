"""Users, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import Role
from tests.api.conftest import ClientOf
from tests.factories import PASSWORD, make_user

USERS = "/api/v1/users"
EVE = {"email": "eve@example.com", "name": "Eve Adams", "role": "billing"}


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def sign_in(client: TestClient, password: str = PASSWORD) -> Any:
    credentials = {"email": EVE["email"], "password": password}
    return client.post("/api/v1/auth/token", json=credentials)


def test_user_is_created_with_a_one_time_password_that_is_shown_once(
    client: TestClient, anonymous: TestClient
) -> None:
    answer = client.post(USERS, json=EVE)
    made = answer.json()
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{USERS}/{made['id']}"
    assert made == {
        "id": made["id"],
        **EVE,
        "status": "active",
        "must_change_password": True,
        "created_at": "2026-11-15T12:00:00Z",
        "last_sign_in_at": None,
        "locked_until": None,
        "version": 1,
        "one_time_password": made["one_time_password"],
    }
    assert sign_in(anonymous, made["one_time_password"]).status_code == 200
    found = client.get(answer.headers["location"])
    assert found.json() == {k: v for k, v in made.items() if k != "one_time_password"} | {
        "last_sign_in_at": "2026-11-15T12:00:00Z"
    }
    for answer in (found, client.get(USERS), client.get("/api/v1/audit")):
        assert made["one_time_password"] not in answer.text
        assert "$2b$" not in answer.text


def test_user_is_created_with_a_password_chosen_by_the_admin(
    client: TestClient, anonymous: TestClient
) -> None:
    made = client.post(USERS, json={**EVE, "password": PASSWORD}).json()
    assert (made["one_time_password"], made["must_change_password"]) == (None, False)
    assert sign_in(anonymous).status_code == 200


def test_invalid_user_names_the_field(client: TestClient, subtests: pytest.Subtests) -> None:
    assert client.post(USERS, json=EVE).status_code == 201
    changes: list[tuple[dict[str, Any], tuple[int, str]]] = [
        ({"email": "EVE@example.com"}, (409, "email_taken")),
        ({"email": "eve"}, (422, "invalid")),
        ({"email": None}, (422, "invalid")),
        ({"name": " "}, (422, "invalid")),
        ({"role": "owner"}, (422, "invalid")),
        ({"role": ["admin"]}, (422, "invalid")),
        ({"password": ""}, (422, "password_too_short")),
        ({"password": "short"}, (422, "password_too_short")),
        ({"password": "x1y2" * 19}, (422, "password_too_long")),
        ({"password": "adams-2026-adams"}, (422, "password_too_common")),
        ({"password": "tallybook2026"}, (422, "password_too_common")),
        ({"status": "active"}, (422, "invalid")),
        ({"must_change_password": False}, (422, "invalid")),
        ({"password_hash": "x"}, (422, "invalid")),
    ]
    for change, refusal in changes:
        with subtests.test(change=change):
            body = {**EVE, "email": "adam@example.com", "name": "Eve Adams", **change}
            answer = client.post(USERS, json=body)
            assert code(answer) == refusal, answer.text
            assert len(client.get(USERS).json()["items"]) == 2


def test_users_are_paged_by_name(client: TestClient, database: Database) -> None:
    for name in ("carl", "Adam", "beth"):
        make_user(database, Role.FINANCE, name=name)
    names, cursor = [], None
    while True:
        page = client.get(USERS, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        names += [each["name"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names[:3] == ["Adam", "beth", "carl"]
    assert len(names) == 4


def test_user_is_changed_and_a_stale_change_is_rejected(client: TestClient) -> None:
    place = f"{USERS}/{client.post(USERS, json=EVE).json()['id']}"
    changed = client.patch(place, json={"name": "Eve Eden", "role": "finance", "version": 1})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["role"], changed.json()["version"]) == (
        "Eve Eden",
        "finance",
        2,
    )
    stale = client.patch(place, json={"name": "Eva", "version": 1})
    assert code(stale) == (409, "stale")
    assert stale.json()["version"] == 2
    assert client.get(place).json()["name"] == "Eve Eden"
    assert client.patch(place, json={"name": "Eva"}).json()["version"] == 3
    for body in (
        {"email": "other@example.com"},
        {"password": PASSWORD},
        {"version": "3"},
        {"status": "gone"},
    ):
        assert code(client.patch(place, json=body)) == (422, "invalid")


def test_last_admin_cannot_be_removed(client: TestClient) -> None:
    own = f"{USERS}/{client.get('/api/v1/auth/me').json()['id']}"
    for change in ({"role": "finance"}, {"status": "disabled"}):
        assert code(client.patch(own, json=change)) == (409, "last_admin")
    assert client.get(own).json()["role"] == "admin"


def test_disabled_user_is_signed_out_at_once_and_can_be_enabled_again(
    client: TestClient, anonymous: TestClient
) -> None:
    place = f"{USERS}/{client.post(USERS, json={**EVE, 'password': PASSWORD}).json()['id']}"
    headers = {"Authorization": f"Bearer {sign_in(anonymous).json()['access_token']}"}
    assert client.patch(place, json={"status": "disabled"}).json()["status"] == "disabled"
    assert anonymous.get("/api/v1/auth/me", headers=headers).status_code == 401
    assert code(sign_in(anonymous)) == (401, "invalid_credentials")
    client.patch(place, json={"status": "active"})
    assert anonymous.get("/api/v1/auth/me", headers=headers).status_code == 401
    assert sign_in(anonymous).status_code == 200


def test_admin_ends_all_sessions_of_a_user(client: TestClient, anonymous: TestClient) -> None:
    place = f"{USERS}/{client.post(USERS, json={**EVE, 'password': PASSWORD}).json()['id']}"
    tokens = [sign_in(anonymous).json()["access_token"] for _ in range(3)]
    assert client.delete(f"{place}/sessions").status_code == 204
    for token in tokens:
        headers = {"Authorization": f"Bearer {token}"}
        assert anonymous.get("/api/v1/auth/me", headers=headers).status_code == 401
    assert sign_in(anonymous).status_code == 200
    assert client.get("/api/v1/auth/me").status_code == 200
    entries = client.get("/api/v1/audit", params={"subject": place.rpartition("/")[2]}).json()["items"]
    assert "user.sessions_ended" in [each["action"] for each in entries]


def test_lost_password_is_replaced_by_a_one_time_password(client: TestClient, anonymous: TestClient) -> None:
    place = f"{USERS}/{client.post(USERS, json={**EVE, 'password': PASSWORD}).json()['id']}"
    headers = {"Authorization": f"Bearer {sign_in(anonymous).json()['access_token']}"}
    answer = client.post(f"{place}/one-time-password")
    made = answer.json()
    assert answer.status_code == 200, answer.text
    assert made == {**client.get(place).json(), "one_time_password": made["one_time_password"]}
    assert made["must_change_password"] is True
    assert anonymous.get("/api/v1/auth/me", headers=headers).status_code == 401
    assert code(sign_in(anonymous)) == (401, "invalid_credentials")
    assert sign_in(anonymous, made["one_time_password"]).status_code == 200
    entries = client.get("/api/v1/audit", params={"subject": made["id"]})
    assert "user.password_reset" in [each["action"] for each in entries.json()["items"]]
    assert made["one_time_password"] not in entries.text
    own = f"{USERS}/{client.get('/api/v1/auth/me').json()['id']}"
    assert code(client.post(f"{own}/one-time-password")) == (409, "own_password")


def test_unknown_user_is_not_found(client: TestClient) -> None:
    for user in ("usr_99", "cus_1", "1", "usr_1%00", "usr_" + "9" * 30, "usr_٣"):
        for answer in (
            client.get(f"{USERS}/{user}"),
            client.patch(f"{USERS}/{user}", json={"name": "Eve"}),
            client.post(f"{USERS}/{user}/one-time-password"),
            client.delete(f"{USERS}/{user}/sessions"),
        ):
            assert code(answer) == (404, "user_not_found"), user


@pytest.mark.parametrize("role", [Role.BILLING, Role.FINANCE])
def test_only_admins_manage_users(client_of: ClientOf, role: Role) -> None:
    client = client_of(role)
    for answer in (
        client.get(USERS),
        client.get(f"{USERS}/usr_1"),
        client.post(USERS, json=EVE),
        client.patch(f"{USERS}/usr_1", json={"role": "admin"}),
        client.post(f"{USERS}/usr_1/one-time-password"),
        client.delete(f"{USERS}/usr_1/sessions"),
    ):
        assert code(answer) == (403, "forbidden")
    assert client.get("/api/v1/auth/me").json()["role"] == role


def test_lock_is_shown_and_ended(client: TestClient, anonymous: TestClient) -> None:
    user = client.post(USERS, json={**EVE, "password": PASSWORD}).json()
    for _ in range(5):
        assert code(sign_in(anonymous, "wrong horse battery")) == (401, "invalid_credentials")
    assert code(sign_in(anonymous)) == (429, "too_many_attempts")
    path = f"{USERS}/{user['id']}"
    assert client.get(path).json()["locked_until"] == "2026-11-15T12:01:00Z"
    unlocked = client.post(f"{path}/unlock")
    assert (unlocked.status_code, unlocked.json()["locked_until"]) == (200, None)
    assert sign_in(anonymous).status_code == 200
    assert client.post(f"{path}/unlock").status_code == 200
    assert code(client.post(f"{USERS}/usr_999/unlock")) == (404, "user_not_found")


@pytest.mark.parametrize("role", [Role.BILLING, Role.FINANCE])
def test_only_admins_unlock(client_of: ClientOf, role: Role) -> None:
    assert code(client_of(role).post(f"{USERS}/usr_1/unlock")) == (403, "forbidden")

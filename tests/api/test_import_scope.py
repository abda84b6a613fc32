"""Tokens that can only record usage have no access to the imports of others."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Actor
from billing_app.jobs.usage_imports import check_files, import_files
from billing_app.services.identity import api_tokens
from tests.api.usage_files import HEADER, IMPORTS, TIME, get, upload
from tests.billing.shop import Shop


@pytest.fixture
def shop(database: Database, admin: Actor) -> Shop:
    shop = Shop(database, admin)
    shop.customer("acme", "2026-10")
    return shop


def problem(answer: Response) -> dict[str, Any]:
    """Return the error with the import's ID replaced, to compare the errors for two imports."""
    found: dict[str, Any] = answer.json()
    named = found.pop("named")
    return {**found, "status_code": answer.status_code, "detail": found["detail"].replace(named, "imp_N")}


class TestScopeOfTokens:
    """A token that can only record usage has access to the imports that it uploaded, and to no others."""

    @pytest.fixture
    def tokens(self, shop: Shop, api: FastAPI, database: Database) -> list[TestClient]:
        clients = []
        for name in ("Meter", "Other meter"):
            with database.transaction(SYSTEM) as session:
                token = api_tokens.create_token(session, SYSTEM, name=name, scopes=["usage:write"]).token
            clients.append(TestClient(api, headers={"Authorization": f"Bearer {token}"}))
        return clients

    @pytest.mark.parametrize("action", ["start", "cancel"])
    def test_import_of_another_user_looks_like_a_missing_one(
        self, client: TestClient, tokens: list[TestClient], database: Database, action: str
    ) -> None:
        meter, other_meter = tokens
        uploads = [upload(client, HEADER), upload(other_meter, HEADER)]
        check_files(database)
        unknown = problem(meter.post(f"{IMPORTS}/imp_999999/{action}"))
        assert (unknown["status_code"], unknown["code"]) == (404, "import_not_found")
        for each in uploads:
            assert problem(meter.post(f"{IMPORTS}/{each['id']}/{action}")) == unknown
            assert get(client, each)["status"] == "checked"
        import_files(database)
        assert {get(client, each)["status"] for each in uploads} == {"checked"}

    def test_own_import_is_started_and_cancelled(
        self, client: TestClient, tokens: list[TestClient], database: Database
    ) -> None:
        content = f"{HEADER}acme,a,1,{TIME}\n"
        first, second = upload(tokens[0], content), upload(tokens[0], content)
        check_files(database)
        assert tokens[0].post(f"{IMPORTS}/{first['id']}/start").json()["status"] == "importing"
        assert tokens[0].post(f"{IMPORTS}/{second['id']}/cancel").json()["status"] == "cancelled"

    def test_reading_is_forbidden_whether_the_import_exists_or_not(
        self, client: TestClient, tokens: list[TestClient]
    ) -> None:
        own = upload(tokens[0], HEADER)
        for path in ("", "/rejected-rows", "/rejected-rows.csv"):
            answers = [
                tokens[0].get(f"{IMPORTS}/{name}{path}") for name in (own["id"], "imp_999999", "nothing")
            ]
            assert [answer.status_code for answer in answers] == [403, 403, 403]
            assert answers[0].json() == answers[1].json() == answers[2].json()
        assert tokens[0].get(IMPORTS).status_code == 403

    def test_other_imports_are_not_named(
        self, client: TestClient, tokens: list[TestClient], database: Database
    ) -> None:
        content = f"{HEADER}acme,a,1,{TIME}\n"
        first = upload(client, content)
        check_files(database)
        client.post(f"{IMPORTS}/{first['id']}/start")
        import_files(database)
        upload(client, HEADER)
        same = upload(tokens[0], content)
        assert (same["same_as"], same["same_as_finished_at"], same["waits_for"]) == (None, None, None)
        found = get(client, same)
        assert found["same_as"] == first["id"]
        assert found["waits_for"] is not None

    def test_token_that_may_read_as_well_starts_any_import(
        self, client: TestClient, api: FastAPI, database: Database
    ) -> None:
        uploaded = upload(client, HEADER)
        check_files(database)
        with database.transaction(SYSTEM) as session:
            token = api_tokens.create_token(
                session, SYSTEM, name="Both", scopes=["usage:write", "read"]
            ).token
        both = TestClient(api, headers={"Authorization": f"Bearer {token}"})
        assert both.post(f"{IMPORTS}/{uploaded['id']}/start").status_code == 202

"""HEAD has the response of GET without the body."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope, Send

from billing_app.api.app import create_api
from billing_app.database.session import Database
from billing_app.server.middleware.head_requests import HeadAsGet
from billing_app.server.middleware.stack import ApiBeforePages, wrap_server
from tests.runtimes import installed


@pytest.mark.parametrize(
    "path",
    [
        "/api/health",
        "/api/health/live",
        "/api/health/ready",
        "/api/openapi.json",
        "/api/docs",
        "/api/v1/customers",
        "/api/v1/usage.csv",
        "/api/nothing",
        "/invoices",
    ],
)
def test_head_has_the_status_and_headers_of_get(database: Database, path: str, tmp_path: Path) -> None:
    pages = HTMLResponse("<title>Invoices</title>")
    with installed(database):
        app = wrap_server(ApiBeforePages(create_api(), pages), tmp_path)
        client = TestClient(app, headers={"X-Request-Id": "one-for-both"})
        got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers == got.headers
    assert int(head.headers["content-length"]) == len(got.content) > 0


def test_head_where_there_is_no_get_is_not_allowed(database: Database) -> None:
    with installed(database):
        answer = TestClient(HeadAsGet(create_api())).head("/api/v1/usage")
    assert answer.status_code in (401, 405)


def test_head_of_an_endless_answer_ends_and_releases_it() -> None:
    released: list[bool] = []

    class File(StreamingResponse):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await super().__call__(scope, receive, send)
            finally:
                released.append(True)

    app = FastAPI()
    app.add_api_route(
        "/endless", lambda: File(itertools.repeat(b"line"), media_type="text/csv"), response_model=None
    )
    answer = TestClient(HeadAsGet(app)).head("/endless")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert released == [True]

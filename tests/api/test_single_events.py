"""Single events that are answered without the framework get the answers that the endpoints give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from billing_app.api.wire.routing import PARSED_ON_THE_LOOP_BYTES
from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.server.middleware import single_events
from billing_app.services.identity.api_tokens import create_token, revoke_token
from tests.factories import make_customer

USAGE, EVENTS = "/api/v1/usage", "/api/v1/events"
JSON = {"Content-Type": "application/json"}
Sent = tuple[str, bytes, dict[str, str]]


@pytest.fixture
def token(api: FastAPI, database: Database) -> str:
    make_customer(database, key="acme", name="Acmé & Søns")
    with database.transaction(SYSTEM) as session:
        return create_token(session, SYSTEM, name="meter", scopes=["usage:write", "read"]).token


@pytest.fixture
def sender(api: FastAPI, token: str) -> TestClient:
    client = TestClient(api, raise_server_exceptions=False)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


@contextmanager
def endpoints_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(single_events, "_read_head", lambda scope: None)
        yield


def usage(key: str = "k", **changed: object) -> bytes:
    return json.dumps({"customer": "acme", "quantity": "1.5", "idempotency_key": key, **changed}).encode()


def event(number: str = "1", **changed: object) -> bytes:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": number,
            "source": "m",
            "type": "t",
            "subject": "acme",
            "data": {"value": 2},
        }
        | changed
    ).encode()


def visible(answer: httpx.Response) -> tuple[Any, ...]:
    names = ("content-type", "www-authenticate", "retry-after")
    return (answer.status_code, answer.content, *(answer.headers.get(name) for name in names))


REFUSED: list[Sent] = [
    (USAGE, usage(customer="unknown"), JSON),
    (USAGE, usage(customer="cus_99"), JSON),
    (USAGE, usage(customer=7), JSON),
    (USAGE, usage(quantity="-1"), JSON),
    (USAGE, usage(quantity="1e999999"), JSON),
    (USAGE, usage(quantity=None), JSON),
    (USAGE, usage(key="a\tb"), JSON),
    (USAGE, usage(key=""), JSON),
    (USAGE, usage(key="\ud800"), JSON),
    (USAGE, usage(occurred_at="yesterday"), JSON),
    (USAGE, usage(occurred_at="2099-01-01T00:00:00Z"), JSON),
    (USAGE, usage(occurred_at="2020-01-01T00:00:00Z"), JSON),
    (USAGE, usage(color="red"), JSON),
    (USAGE, b'{"customer": "acme"}', JSON),
    (USAGE, b'{"quantity": 1, "quantity": 2}', JSON),
    (USAGE, b"{", JSON),
    (USAGE, b"", JSON),
    (USAGE, b"[]", JSON),
    (USAGE, b"\xff", JSON),
    (USAGE, usage(color="x" * PARSED_ON_THE_LOOP_BYTES), JSON),
    (USAGE, usage(), {"Content-Type": "text/plain"}),
    (USAGE, usage(), {**JSON, "Content-Encoding": "gzip"}),
    (USAGE, usage(), {**JSON, "Authorization": "Bearer tbk_unknown"}),
    (USAGE, usage(), {**JSON, "Authorization": "Bearer "}),
    (f"{USAGE}?color=red", usage(), JSON),
    (EVENTS, event(subject="unknown"), JSON),
    (EVENTS, event(specversion="0.3"), JSON),
    (EVENTS, event(id=7), JSON),
    (EVENTS, event(data={}), JSON),
    (EVENTS, event(data={"value": -1}), JSON),
    (EVENTS, event(time="2099-01-01T00:00:00Z"), JSON),
    (EVENTS, event(), {"Content-Type": "application/cloudevents-batch+json"}),
    (EVENTS, b"null", JSON),
    (EVENTS, event(), {"Content-Type": "text/csv"}),
]


def test_refusal_is_that_of_the_endpoint(
    sender: TestClient, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    for path, body, headers in REFUSED:
        with subtests.test(path=path, body=body[:80], headers=headers):
            direct = sender.post(path, content=body, headers=headers)
            with endpoints_only(monkeypatch):
                framework = sender.post(path, content=body, headers=headers)
            assert direct.status_code >= 400
            assert visible(direct) == visible(framework)
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (0,)


RECORDED = [
    {},
    {"quantity": 1.50},
    {"quantity": "007.100"},
    {"customer": "ACME"},
    {"customer": "cus_1"},
    {"occurred_at": "2026-11-10T01:00:00.120+02:00"},
    {"occurred_at": None},
    {"key": 'ü "quoted" \\ 日本'},
]


def test_answer_to_a_recorded_event_has_the_bytes_of_the_endpoint(
    sender: TestClient, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    for number, changed in enumerate(RECORDED):
        key = str(changed.get("key", "k"))
        others = {name: value for name, value in changed.items() if name != "key"}
        with subtests.test(**changed):
            first = sender.post(USAGE, content=usage(f"{key}a{number}", **others), headers=JSON)
            with endpoints_only(monkeypatch):
                again = sender.post(USAGE, content=usage(f"{key}a{number}", **others), headers=JSON)
                framework = sender.post(USAGE, content=usage(f"{key}b{number}", **others), headers=JSON)
            duplicate = sender.post(USAGE, content=usage(f"{key}b{number}", **others), headers=JSON)
            assert (first.status_code, again.status_code) == (201, 200)
            assert (framework.status_code, duplicate.status_code) == (201, 200)
            assert first.content == again.content.replace(b'"duplicate"', b'"recorded"')
            assert duplicate.content == framework.content.replace(b'"recorded"', b'"duplicate"')
            assert first.headers["content-type"] == framework.headers["content-type"]


def test_event_is_answered_without_the_framework(
    sender: TestClient, monkeypatch: pytest.MonkeyPatch, owner: psycopg.Connection
) -> None:
    monkeypatch.setattr("billing_app.api.usage.record_usage", None)
    monkeypatch.setattr("fastapi.routing.APIRoute.handle", None)
    assert sender.post(USAGE, content=usage(), headers=JSON).status_code == 201
    assert sender.post(EVENTS, content=event(), headers=JSON).status_code == 204
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (2,)


def test_body_in_pieces_is_one_event(sender: TestClient, owner: psycopg.Connection) -> None:
    pieces = iter([b"{", usage()[1:-4], usage()[-4:]])
    assert sender.post(USAGE, content=pieces, headers=JSON).status_code == 201
    long = usage("long") + b" " * PARSED_ON_THE_LOOP_BYTES
    assert sender.post(USAGE, content=iter([long, b" "]), headers=JSON).status_code == 201
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (2,)


def test_list_of_events_and_binary_mode_are_left_to_the_endpoint(
    sender: TestClient, owner: psycopg.Connection
) -> None:
    many = b"[" + event("1") + b"," + event("2") + b"]"
    assert sender.post(EVENTS, content=many, headers=JSON).status_code == 204
    binary = {"ce-specversion": "1.0", "ce-id": "3", "ce-source": "m", "ce-type": "t", "ce-subject": "acme"}
    assert sender.post(EVENTS, content=b'{"value": 1}', headers={**JSON, **binary}).status_code == 204
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (3,)


def test_revoked_token_and_token_without_the_scope_record_nothing(
    sender: TestClient, database: Database, owner: psycopg.Connection
) -> None:
    with database.transaction(SYSTEM) as session:
        reader = create_token(session, SYSTEM, name="reader", scopes=["read"])
        gone = create_token(session, SYSTEM, name="gone", scopes=["usage:write"])
    with database.transaction(SYSTEM) as session:
        revoke_token(session, SYSTEM, gone.row.public_id)
    for token, status in ((reader.token, 403), (gone.token, 401)):
        for path, body in ((USAGE, usage()), (EVENTS, event())):
            answer = sender.post(path, content=body, headers={**JSON, "Authorization": f"Bearer {token}"})
            assert answer.status_code == status
    assert owner.execute("SELECT count(*) FROM usage_event").fetchone() == (0,)


def test_token_that_only_records_does_not_learn_names(sender: TestClient, database: Database) -> None:
    with database.transaction(SYSTEM) as session:
        writer = create_token(session, SYSTEM, name="writer", scopes=["usage:write"]).token
    answer = sender.post(USAGE, content=usage(), headers={**JSON, "Authorization": f"Bearer {writer}"})
    assert answer.json()["event"]["customer"] == {"id": "cus_1", "key": "acme", "name": ""}

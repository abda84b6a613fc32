"""More single events than can wait are answered with 503 and Retry-After, and nothing is dropped silently."""

from __future__ import annotations

from collections import Counter

import httpx
import psycopg
import pytest

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM
from billing_app.jobs import rounds
from billing_app.services.identity.api_tokens import create_token
from billing_app.services.shared import gate
from tests.factories import make_customer
from tests.loops import running_loop
from tests.processes.servers import until
from tests.runtimes import installed, limited_api

ROOM = 20
SENT = 60


def test_full_queue_is_answered_with_503_and_retry_after(
    database: Database, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_customer(database, key="acme")
    with database.transaction(SYSTEM) as session:
        token = create_token(session, SYSTEM, name="meter", scopes=["usage:write"]).token
    with installed(database) as runtime, running_loop() as loop:
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(limited_api()),
            base_url="http://testserver",
            headers={"Authorization": f"Bearer {token}"},
        )

        async def report(number: int) -> httpx.Response:
            body = {"customer": "acme", "idempotency_key": f"k{number}", "quantity": 1}
            return await client.post("/api/v1/usage", json=body)

        assert loop.run(report(SENT)).status_code == 201
        with database.transaction(SYSTEM) as session:
            gate.hold_exclusively(session)
            first = loop.start(report(0))
            until(lambda: _is_waiting_for_the_gate(owner))
            monkeypatch.setattr(rounds, "WAITING_MAX", ROOM)
            others = [loop.start(report(number)) for number in range(1, SENT)]
            until(lambda: sum(each.done() for each in others) == SENT - 1 - ROOM)
            until(lambda: runtime.recorder.waiting == ROOM)
            refused = [each.result() for each in others if each.done()]
        for answer in refused:
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert answer.headers["retry-after"] == "1"
        answers = [each.result(timeout=30) for each in [first, *others]]
        assert Counter(each.status_code for each in answers) == {201: ROOM + 1, 503: SENT - 1 - ROOM}
        # Sent again, those that were refused are recorded, and the others are duplicates.
        again = [loop.run(report(number)) for number in range(SENT)]
        assert Counter(each.status_code for each in again) == {200: ROOM + 1, 201: SENT - 1 - ROOM}
        loop.run(runtime.recorder.close())
        loop.run(runtime.authenticator.close())


def _is_waiting_for_the_gate(owner: psycopg.Connection) -> bool:
    waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
    return owner.execute(waiting).fetchone() == (True,)

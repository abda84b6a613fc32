"""Every kind of caller against every operation in the OpenAPI document, so that new ones are covered too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from billing_app.api.app import create_api
from billing_app.database.embedded import cluster
from billing_app.domain.actor import Actor
from tests.api.world import CALLERS, Operation, World, new_world, operations

OPERATIONS = operations(create_api())
# Signing in, and the health checks.
PUBLIC = {
    "POST /api/v1/auth/token",
    "POST /api/v1/auth/session",
    "GET /api/health",
    "GET /api/health/live",
    "GET /api/health/ready",
}
RECORDS_USAGE = {
    "POST /api/v1/usage",
    "POST /api/v1/usage/batch",
    "POST /api/v1/events",
    "POST /api/v1/usage/imports",
    "POST /api/v1/usage/imports/{import}/start",
    "POST /api/v1/usage/imports/{import}/cancel",
}
CORRECTS_USAGE = {
    "POST /api/v1/usage/corrections",
    "POST /api/v1/usage/corrections/batch",
    "POST /api/v1/usage/imports/{import}/start",
    "POST /api/v1/usage/imports/{import}/cancel",
}
# Reading, though a row is written for it.
READS = {"POST /api/v1/simulations"}
# Resources that only admins can read or change.
SEEN_BY_ADMIN = ("/api/v1/users", "/api/v1/tokens")
CHANGED_BY_ADMIN = (*SEEN_BY_ADMIN, "/api/v1/issuer")


@pytest.fixture(scope="module")
def world(server: cluster.Server) -> Iterator[World]:
    with new_world(server) as made:
        yield made


def may(caller: str, operation: Operation) -> bool:
    """Return whether the caller has permission for the operation."""
    if str(operation) in PUBLIC:
        return True
    if caller == "anonymous":
        return False
    if caller == "usage token":
        return str(operation) in RECORDS_USAGE
    if caller == "correcting token":
        return str(operation) in CORRECTS_USAGE
    if operation.path.startswith("/api/v1/auth/"):
        return caller != "reading token"
    if operation.method == "get" or str(operation) in READS:
        return caller == "admin" or not operation.path.startswith(SEEN_BY_ADMIN)
    if caller in ("finance", "reading token"):
        return False
    return caller == "admin" or not operation.path.startswith(CHANGED_BY_ADMIN)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_callers_can_do_what_they_have_permission_for(
    world: World, caller: str, operation: Operation
) -> None:
    headers = world.headers(caller)
    before = world.content()
    answer = world.send(operation, headers)
    if may(caller, operation):
        # Every example in the documentation works.
        assert answer.status_code < 300 or answer.json()["code"] in REFUSALS_OF_EXAMPLES, answer.text
    elif caller == "anonymous":
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
        assert answer.headers["www-authenticate"] == "Bearer"
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    if not may(caller, operation) or operation.method == "get":
        assert world.content() == before
    if answer.status_code >= 400:
        assert answer.json()["code"] in documented(operation, answer.status_code)


# Some examples use existing names, missing things or wrong passwords. The credit is applied before it is
# refunded.
REFUSALS_OF_EXAMPLES = {
    "already_reversed", "import_not_checked", "import_not_found", "insufficient_credit", "invalid_credentials",
    "invoice_exists",
    "item_reversed", "key_taken", "meter_code_taken", "nothing_to_apply", "refund_reversed", "session_not_found",
    "too_many_attempts", "verification_not_found",
}  # fmt: skip


def documented(operation: Operation, status: int) -> set[str]:
    """Return the codes that the document lists for responses with this status."""
    answer = operation.described["responses"][str(status)]
    return set(answer["content"]["application/problem+json"]["examples"])


WRITES = [
    each
    for each in OPERATIONS
    if each.method != "get" and "/auth/" not in each.path and str(each) not in READS
]


@pytest.mark.parametrize("caller", ["finance", "reading token"])
@pytest.mark.parametrize("operation", WRITES, ids=str)
def test_database_refuses_even_without_the_check(
    world: World, caller: str, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = world.headers(caller)
    monkeypatch.setattr(Actor, "may", lambda self, permission: True)
    before = world.content()
    answer = world.send(operation, headers)
    assert answer.status_code >= 400 or unchanged(operation), answer.text
    assert world.content() == before


# The example has the terms of the plan's newest version, which is returned without a write.
UNCHANGED = {"POST /api/v1/plans"}


def unchanged(operation: Operation) -> bool:
    """Return whether the operation's example changes nothing, because what it creates exists."""
    return str(operation) in UNCHANGED

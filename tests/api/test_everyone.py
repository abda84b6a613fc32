"""Every kind of caller against every endpoint, out of the OpenAPI document: a new one is in here too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from billing_app.api.app import create_api
from billing_app.database.embedded import cluster
from billing_app.domain.actor import Actor
from tests.api.world import CALLERS, Operation, World, founded, operations

OPERATIONS = operations(create_api())
# Who is not signed in yet, and who asks whether we are well.
PUBLIC = {"POST /api/v1/auth/token", "POST /api/v1/auth/session", "GET /api/health"}
REPORTS_USAGE = {
    "POST /api/v1/usage",
    "POST /api/v1/usage/batch",
    "POST /api/v1/events",
    "POST /api/v1/usage/imports",
    "POST /api/v1/usage/imports/{import}/start",
    "POST /api/v1/usage/imports/{import}/cancel",
}
# Of people, tokens and the issuer: what only an admin sees, or changes.
SEEN_BY_ADMIN = ("/api/v1/users", "/api/v1/tokens")
CHANGED_BY_ADMIN = (*SEEN_BY_ADMIN, "/api/v1/issuer")


@pytest.fixture(scope="module")
def world(server: cluster.Server) -> Iterator[World]:
    with founded(server) as made:
        yield made


def may(caller: str, operation: Operation) -> bool:
    """The table of the contract."""
    if str(operation) in PUBLIC:
        return True
    if caller == "nobody":
        return False
    if caller == "usage token":
        return str(operation) in REPORTS_USAGE
    if operation.path.startswith("/api/v1/auth/"):
        return caller != "reading token"
    if operation.method == "get":
        return caller == "admin" or not operation.path.startswith(SEEN_BY_ADMIN)
    if caller in ("finance", "reading token"):
        return False
    return caller == "admin" or not operation.path.startswith(CHANGED_BY_ADMIN)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_who_may_do_what(world: World, caller: str, operation: Operation) -> None:
    headers = world.headers(caller)
    before = world.content()
    answer = world.send(operation, headers)
    if may(caller, operation):
        # Every example is one to go by.
        assert answer.status_code < 300 or answer.json()["code"] in SAID_OF_EXAMPLES, answer.text
    elif caller == "nobody":
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
        assert answer.headers["www-authenticate"] == "Bearer"
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    if not may(caller, operation) or operation.method == "get":
        assert world.content() == before
    if answer.status_code >= 400:
        assert answer.json()["code"] in documented(operation, answer.status_code)


# What is there already, or isn't; and the examples' passwords are nobody's.
SAID_OF_EXAMPLES = {
    "already_reversed", "import_not_checked", "invalid_credentials", "invoice_exists", "key_taken", "session_not_found",
    "too_many_attempts", "verification_not_found",
}  # fmt: skip


def documented(operation: Operation, status: int) -> set[str]:
    """The codes that the document says an answer of this status may have."""
    answer = operation.described["responses"][str(status)]
    return set(answer["content"]["application/problem+json"]["examples"])


WRITES = [each for each in OPERATIONS if each.method != "get" and "/auth/" not in each.path]


@pytest.mark.parametrize("caller", ["finance", "reading token"])
@pytest.mark.parametrize("operation", WRITES, ids=str)
def test_without_the_check_the_database_still_refuses(
    world: World, caller: str, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = world.headers(caller)
    monkeypatch.setattr(Actor, "may", lambda self, permission: True)
    before = world.content()
    answer = world.send(operation, headers)
    assert answer.status_code >= 400 or unchanged(operation), answer.text
    assert world.content() == before


# The example's terms are those of the plan's newest version, which is returned.
UNCHANGED = {"POST /api/v1/plans"}


def unchanged(operation: Operation) -> bool:
    """Return whether the operation's example asks for what exists already."""
    return str(operation) in UNCHANGED

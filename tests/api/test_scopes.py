"""A token with a narrow scope reveals nothing about what other actors created."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from billing_app.api.app import create_api
from billing_app.database.embedded import cluster
from tests.api.world import Operation, World, new_world, operations

# Every operation with a path parameter, so that new ones are covered too.
NAMING = [each for each in operations(create_api()) if "{" in each.path]
MISSING = {
    "customer": "no-such-customer",
    "meter": "no_such_meter",
    "plan": "plan_999999",
    "number": "ACME-9999",
    "payment": "pay_999999",
    "discount": "disc_999999",
    "item": "item_999999",
    "refund": "ref_999999",
    "import": "imp_999999",
    "run": "run_999999",
    "verification": "ver_999999",
    "simulation": "sim_999999",
    "user": "usr_999999",
    "token": "tok_999999",
    "session": "no-such-session",
}


@pytest.fixture(scope="module")
def world(server: cluster.Server) -> Iterator[World]:
    with new_world(server) as made:
        yield made


def reply(world: World, operation: Operation, places: dict[str, str], headers: dict[str, str]) -> Any:
    """Send the operation's example, and return the response without the IDs in it."""
    answer = World(world.api, world.database, world.urls, places).send(operation, headers)
    text = answer.text
    for name, place in places.items():
        if f"{{{name}}}" in operation.path:
            text = text.replace(place, f"<{name}>")
    sent = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return answer.status_code, text, sent


def test_every_kind_of_thing_has_a_missing_one() -> None:
    named = {name for each in NAMING for name in MISSING if f"{{{name}}}" in each.path}
    assert named == MISSING.keys()
    assert all(each.path.format(**MISSING) for each in NAMING)


@pytest.mark.parametrize("operation", NAMING, ids=str)
def test_things_of_others_are_answered_like_missing_ones(world: World, operation: Operation) -> None:
    headers = world.headers("usage token")
    before = world.content()
    others = reply(world, operation, world.places, headers)
    assert others[0] in (403, 404)
    assert others == reply(world, operation, MISSING, headers)
    assert world.content() == before

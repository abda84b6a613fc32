"""Bodies of batches mean the same whether they are decoded at once or value by value."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from billing_app.api.usage import _parse_row
from billing_app.api.usage_batches import _read_plain, parse_batch
from billing_app.api.wire.routing import loads_exactly
from billing_app.errors import Invalid
from billing_app.services.usage.recording import UsageReport, parse_report

EVENT = {
    "customer": "acme",
    "quantity": "1.5",
    "occurred_at": "2026-10-31T23:00:00Z",
    "idempotency_key": "meter 7",
}
PLAIN = json.dumps({"events": [EVENT, EVENT | {"customer": "cus_7", "quantity": 2}]}).encode()


def meaning(body: bytes, parse: Any) -> object:
    """Return what a body means for recording: the parsed rows and the refusals, or the malformed body."""
    try:
        content = parse(body)
    except json.JSONDecodeError:
        return "malformed"
    if (
        not isinstance(content, dict)
        or content.keys() != {"events"}
        or not isinstance(content["events"], list)
    ):
        return repr(content)
    return [meaning_of_row(index, _parse_row(row)) for index, row in enumerate(content["events"])]


def meaning_of_row(index: int, report: Any) -> object:
    try:
        return parse_report(index, report)
    except Invalid as refusal:
        return [(each.field, each.rule) for each in refusal.errors]


def test_plain_body_becomes_reports() -> None:
    body = json.dumps({"events": [EVENT, EVENT | {"customer": "é"}]}, ensure_ascii=False).encode()
    assert parse_batch(body) == {
        "events": [
            ("acme", "meter 7", "1.5", "2026-10-31T23:00:00Z"),
            ("é", "meter 7", "1.5", "2026-10-31T23:00:00Z"),
        ]
    }
    assert all(type(row) is UsageReport for row in parse_batch(PLAIN)["events"])
    assert parse_batch(b'{"events": []}') == {"events": []}


@pytest.mark.parametrize(
    ("original", "replacement"),
    [
        (b'"acme"', b'"acme", "customer": "other"'),  # A name twice.
        (b'"acme"', b'"acme", "cust\\u006fmer": "other"'),
        (b'"acme", ', b'"acme", "occurred_at": "2026-10-31T23:00:00Z", '),
        (b'"acme"', b'"customer"'),
        (b'{"events"', b'{"events": [], "events"'),
        (b'{"events"', b'{"more": 1, "events"'),
        (b'"acme"', b'"acme", "more": 1'),
        (b'"acme", ', b'"acme", "occurred_at": null, '),
        (b'"customer": "acme", ', b""),
        (b'"meter 7"', b'"meter\t7"'),
        (b'"meter 7"', b'"meter\x007"'),
        (b'"meter 7"', b'"meter\\n7"'),
        (b'"meter 7"', b'"meter\xff7"'),
        (b'"meter 7"', b'"meter\xed\xa0\x807"'),
        (b'"meter 7"', b"7"),
        (b'"1.5"', b"1.50"),
        (b'"1.5"', b"01"),
        (b'"1.5"', b"-0"),
        (b'"1.5"', b"1."),
        (b'"1.5"', b"1e2"),
        (b'"1.5"', b"1e400"),
        (b'"1.5"', b"1e99999999999999999999"),
        (b'"1.5"', b"1." + b"0" * 70),
        (b'"1.5"', b"NaN"),
        (b'"1.5"', b'"NaN"'),
        (b'"1.5"', b"true"),
        (b'"1.5"', b"null"),
        (b'"1.5"', b"[1]"),
        (b'"1.5"', b'""'),
        (b'"1.5"', b'"1_0"'),
        (b'"1.5"', '"٣"'.encode()),
        (b'"2026-10-31T23:00:00Z"', b"null"),
        (b'"2026-10-31T23:00:00Z"', b"1"),
        (b"]}", b"]} x"),
        (b'"quantity": "1.5", "occurred_at": "2026-10-31T23:00:00Z"', b'"quantity": "1.5"'),
        (b'"acme"', b'"acme", "meter": "seats"'),
        (b'"acme"', b'"acme", "meter": "seats", "item": "ada"'),
        (b'"acme"', b'"acme", "meter": "seats", "meter": "calls"'),
        (b'"acme"', b'"acme", "meter": null'),
        (b'"acme"', b'"acme", "item": 7'),
        (b'"acme"', b'"acme", "event_type": "x"'),
        (b'"quantity": "1.5", ', b""),
        (b"{", b"\xef\xbb\xbf{"),
        (b"[{", b'["text", {'),
        (b"[{", b"[null, {"),
    ],
)
def test_unusual_body_means_what_it_means_to_the_exact_parser(original: bytes, replacement: bytes) -> None:
    assert original in PLAIN
    for count in (1, -1):
        body = PLAIN.replace(original, replacement, count)
        assert meaning(body, parse_batch) == meaning(body, loads_exactly)


@pytest.mark.parametrize("name", ["occurred_at", "meter", "item"])
def test_optional_name_that_one_event_has_twice_and_another_lacks(name: str) -> None:
    first = json.dumps(EVENT | {name: "2026-10-31T23:00:00Z"})[:-1] + f', "{name}": "x"}}'
    second = json.dumps({key: value for key, value in EVENT.items() if key != name})
    body = f'{{"events": [{first}, {second}]}}'.encode()
    assert _read_plain(body) is None


def test_damaged_bodies_mean_what_they_mean_to_the_exact_parser() -> None:
    chance = random.Random(3)
    plain = 0
    for _ in range(20_000):
        body = bytearray(PLAIN)
        for _ in range(chance.randint(1, 2)):
            at = chance.randrange(len(body))
            piece = chance.choice(
                [b'"', b"\\", b",", b"{", b"}", b"1", b"\n", b"\t", b"\xc3", b"e", b" ", b"null", b""]
            )
            body[at : at + chance.randint(0, 2)] = piece
        plain += _read_plain(bytes(body)) is not None
        assert meaning(bytes(body), parse_batch) == meaning(bytes(body), loads_exactly), bytes(body)
    # Enough of them were still decoded at once.
    assert plain > 1_000

"""Recording usage sent as CloudEvents 1.0, as OpenMeter's clients and the CloudEvents SDKs send it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Body, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from billing_app.api.wire.calls import Call, Caller
from billing_app.api.wire.codes import CODES
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.problems import Problem
from billing_app.api.wire.routing import resource
from billing_app.domain.actor import Actor
from billing_app.domain.rules import BrokenRule
from billing_app.errors import Conflict, FieldError, Invalid, NotFound
from billing_app.runtime import current
from billing_app.services.shared.reasons import Reason
from billing_app.services.shared.validation import parse_idempotency_key
from billing_app.services.usage import recording
from billing_app.services.usage.recording import UnreadableReport, UsageReport
from billing_app.wording.rules import rule_text

router = resource("/events", "Usage")

ONE = "application/cloudevents+json"
MANY = "application/cloudevents-batch+json"
EITHER = "application/json"
_ATTRIBUTE = "ce-"

_CONTROL = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
_EVENT_SCHEMA = {
    "type": "object",
    "title": "CloudEvent",
    "required": ["specversion", "id", "source", "type", "subject", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "pattern": f"^[^{_CONTROL}]+$", "examples": ["42"]},
        "source": {
            "type": "string",
            "minLength": 1,
            "pattern": f"^[^ {_CONTROL}]+$",
            "examples": ["meter-7"],
        },
        "type": {
            "type": "string",
            "minLength": 1,
            "description": "The meter that takes this type records the event.",
            "examples": ["api-calls"],
        },
        "subject": {"type": "string", "description": "The customer's key or ID.", "examples": ["acme"]},
        "time": {"type": ["string", "null"], "format": "date-time", "examples": ["2026-10-31T23:00:00Z"]},
        "data": {
            "type": "object",
            "description": "The quantity, as `quantity` or `value`, and the `item` if the meter counts"
            " different items. Other fields are ignored.",
            "properties": {name: {"type": ["number", "string"]} for name in ("quantity", "value")}
            | {"item": {"type": ["string", "null"], "minLength": 1, "maxLength": 255}},
            "examples": [{"value": "1530.5"}],
        },
    },
}
_LIST_SCHEMA = {"type": "array", "maxItems": recording.BATCH_MAX, "items": _EVENT_SCHEMA}
_BODY = {
    "required": True,
    "content": {
        ONE: {"schema": _EVENT_SCHEMA},
        MANY: {"schema": _LIST_SCHEMA},
        EITHER: {"schema": {"anyOf": [_EVENT_SCHEMA, _LIST_SCHEMA]}},
    },
}


@router.post(
    "",
    status_code=204,
    responses=refusals("events_refused", "batch_too_large"),
    openapi_extra={"requestBody": _BODY},
)
async def record_events(call: Caller, request: Request, body: Annotated[Any, Body()]) -> Response:
    """Record CloudEvents.

    Send one event, or a list of up to 10,000. `subject` is the customer's key or ID. `source`, a space
    and `id` form the idempotency key: an event that you send again is counted once. `time` is when the
    usage occurred, and defaults to now. The quantity is `data.quantity`, or `data.value` if there is no
    `quantity`. An event is recorded on the meter that takes its `type`, or on the default meter. If the meter
    counts different items, `data.item` is required and the quantity is 1. Other attributes are ignored. Events in binary mode, with attributes in `ce-`
    headers, are accepted as well.

    The response is 204 if every event is recorded or a duplicate. Otherwise it is 422: `errors` gives
    the index of each event that is a conflict or rejected, and all other events are recorded.
    """
    events = _read_events(request, body)
    if len(events) == 1:
        return await _record_one(call.actor, events[0])
    return await run_in_threadpool(_record_batch, call, events)


def _read_events(request: Request, body: Any) -> list[Any]:
    """Return the events of a request in any of the three content modes. Raises Invalid."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == EITHER and f"{_ATTRIBUTE}specversion" in request.headers:
        return [_read_headers(request) | {"data": body}]
    if isinstance(body, list):
        if media_type == ONE:
            raise Invalid("body", "one_event", media_type=MANY)
        return body
    if media_type == MANY:
        raise Invalid("body", "many_events", media_type=ONE)
    return [body]


def _read_headers(request: Request) -> dict[str, Any]:
    """Return the attributes of an event in binary mode. Raises Invalid."""
    try:
        return {
            name.removeprefix(_ATTRIBUTE): unquote(value, errors="strict")
            for name, value in request.headers.items()
            if name.startswith(_ATTRIBUTE)
        }
    except UnicodeDecodeError:
        raise Invalid("headers", "not_percent_encoded") from None


async def record_single(actor: Actor, body: dict[str, Any]) -> ASGIApp | None:
    """Record one CloudEvent in structured mode as `record_events` does."""
    return await _record_one(actor, body)


async def _record_one(actor: Actor, event: object) -> Response:
    """Record a single event together with others that arrive at the same time. No thread waits for it."""
    try:
        await current().recorder.record(actor, _parse_event(event))
    except (NotFound, Conflict, Invalid) as refusal:
        return _respond([event], {0: Reason.of(refusal)})
    return _respond([event], {})


def _record_batch(call: Call, events: Sequence[object]) -> Response:
    outcome = call.do(recording.record_usage_batch, [_parse_event(event) for event in events])
    return _respond(events, {row.index: row.reason for row in outcome.results if row.reason})


def _respond(events: Sequence[object], reasons: Mapping[int, Reason]) -> Response:
    """Build the response. `reasons` says why events are conflicts or rejected, by their index."""
    if not reasons:
        return Response(status_code=204)
    errors = [
        {"index": index, "code": reason.code, **_field_and_message(reason, events[index])}
        for index, reason in reasons.items()
    ]
    status, sentence = CODES["events_refused"]
    return Problem(status, "events_refused", sentence, errors=errors)


def _parse_event(event: object) -> UsageReport | UnreadableReport:
    """Return the report in an event. The service parses its subject, time and quantity."""
    if not isinstance(event, dict):
        return UnreadableReport("", "not_a_cloudevent")
    if event.get("specversion") != "1.0":
        return UnreadableReport("specversion", "not_version_1")
    for name in ("id", "source", "type"):
        if not isinstance(event.get(name), str) or not event[name]:
            return UnreadableReport(name, "empty")
    for name in ("id", "source"):
        try:
            parse_idempotency_key(event[name])
        except BrokenRule as broken:
            return UnreadableReport(name, broken.rule, broken.facts)
    if " " in event["source"]:
        return UnreadableReport("source", "has_a_space")
    data = event.get("data")
    if not isinstance(data, dict):
        return UnreadableReport("data", "no_quantity")
    return UsageReport(
        event.get("subject"),
        f"{event['source']} {event['id']}",
        data.get(_quantity_name(data)),
        event.get("time"),
        item=data.get("item"),
        event_type=event["type"],
    )


def _quantity_name(data: dict[str, Any]) -> str:
    return "quantity" if "quantity" in data else "value"


def _field_and_message(reason: Reason, event: Any) -> dict[str, str]:
    """Return the attribute that a reason is about, and the rule that it breaks."""
    message = rule_text(FieldError(reason.field, reason.rule, dict(reason.facts)))
    if reason.field == "idempotency_key":
        return {"field": "id", "message": f"{message} (source, a space and id together)"}
    if reason.field == "quantity" and not event["data"].keys() & {"quantity", "value"}:
        return {"field": "data", "message": rule_text(FieldError("data", "no_quantity"))}
    if reason.field == "item":
        return {"field": "data.item", "message": message}
    if reason.field == "quantity":
        return {"field": f"data.{_quantity_name(event['data'])}", "message": message}
    names = {"customer": "subject", "occurred_at": "time", "event_type": "type"}
    return {"field": names.get(reason.field, reason.field or "event"), "message": message}

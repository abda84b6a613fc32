"""Usage as CloudEvents 1.0, as OpenMeter's clients and the CloudEvents SDKs send it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Body, Request, Response

from billing_app.api.wire.calls import Call, Caller
from billing_app.api.wire.codes import CODES
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.problems import Problem
from billing_app.api.wire.routing import resource
from billing_app.errors import Conflict, FieldError, Invalid, NotFound
from billing_app.runtime import current
from billing_app.services.shared.reasons import Reason
from billing_app.services.usage import recording
from billing_app.services.usage.recording import Unreadable, UsageReport
from billing_app.wording.rules import rule_text

router = resource("/events", "Usage")

ONE = "application/cloudevents+json"
MANY = "application/cloudevents-batch+json"
EITHER = "application/json"
_ATTRIBUTE = "ce-"

_EVENT_SCHEMA = {
    "type": "object",
    "title": "CloudEvent",
    "required": ["specversion", "id", "source", "type", "subject", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "examples": ["42"]},
        "source": {"type": "string", "minLength": 1, "pattern": "^[^ ]+$", "examples": ["meter-7"]},
        "type": {"type": "string", "minLength": 1, "examples": ["api-calls"]},
        "subject": {"type": "string", "description": "The customer's key or id.", "examples": ["acme"]},
        "time": {"type": ["string", "null"], "format": "date-time", "examples": ["2026-10-31T23:00:00Z"]},
        "data": {
            "type": "object",
            "description": "The quantity, in `quantity` or else in `value`; more is ignored.",
            "properties": {name: {"type": ["number", "string"]} for name in ("quantity", "value")},
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


@dataclass(frozen=True, slots=True)
class _Refused:
    index: int
    reason: Reason


@router.post(
    "",
    status_code=204,
    responses=refusals("events_refused", "batch_too_large"),
    openapi_extra={"requestBody": _BODY},
)
def record_events(call: Caller, request: Request, body: Annotated[Any, Body()]) -> Response:
    """Record CloudEvents.

    One event, or a list of up to 10,000. `subject` names the customer; `source`, a space and `id`
    are the idempotency key, so that an event sent again counts once; `time` is when it occurred,
    now without one; `data.quantity`, or else `data.value`, is how much. `type` and other attributes
    are ignored. An event in binary mode (attributes in `ce-` headers) is read as well.

    204 when all are recorded or were before. Otherwise 422 with the index of each refused event in
    `errors`, and all others are recorded.
    """
    events = _events_of(request, body)
    reports = [_report_of(event) for event in events]
    refused = _record(call, reports)
    if not refused:
        return Response(status_code=204)
    errors = [
        {"index": each.index, "code": each.reason.code, **_told(each.reason, events[each.index])}
        for each in refused
    ]
    status, sentence = CODES["events_refused"]
    return Problem(status, "events_refused", sentence, errors=errors)


def _events_of(request: Request, body: Any) -> list[Any]:
    """The events of a request in any of the three content modes. Raises Invalid."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == EITHER and f"{_ATTRIBUTE}specversion" in request.headers:
        return [_from_headers(request) | {"data": body}]
    if isinstance(body, list):
        if media_type == ONE:
            raise Invalid("body", "one_event", media_type=MANY)
        return body
    if media_type == MANY:
        raise Invalid("body", "many_events", media_type=ONE)
    return [body]


def _from_headers(request: Request) -> dict[str, Any]:
    try:
        return {
            name.removeprefix(_ATTRIBUTE): unquote(value, errors="strict")
            for name, value in request.headers.items()
            if name.startswith(_ATTRIBUTE)
        }
    except UnicodeDecodeError:
        raise Invalid("headers", "not_percent_encoded") from None


def _report_of(event: Any) -> UsageReport | Unreadable:
    """The report that an event is; the values of subject, time and quantity are the service's to read."""
    if not isinstance(event, dict):
        return Unreadable("", "not_a_cloudevent")
    if event.get("specversion") != "1.0":
        return Unreadable("specversion", "not_version_1")
    for name in ("id", "source", "type"):
        if not isinstance(event.get(name), str) or not event[name]:
            return Unreadable(name, "empty")
    if " " in event["source"]:
        return Unreadable("source", "has_a_space")
    data = event.get("data")
    if not isinstance(data, dict) or not data.keys() & {"quantity", "value"}:
        return Unreadable("data", "no_quantity")
    key = f"{event['source']} {event['id']}"
    return UsageReport(event.get("subject"), key, data[_quantity_name(data)], event.get("time"))


def _quantity_name(data: dict[str, Any]) -> str:
    return "quantity" if "quantity" in data else "value"


def _record(call: Call, reports: list[UsageReport | Unreadable]) -> list[_Refused]:
    """Records all that can be; a lone event without an entry in the audit log, like any single one."""
    if len(reports) == 1 and isinstance(reports[0], UsageReport):
        try:
            current().recorder.submit(call.actor, reports[0]).result()
        except (NotFound, Conflict, Invalid) as refusal:
            return [_Refused(0, Reason.of(refusal))]
        return []
    done = call.do(recording.record_usage_batch, reports)
    return [
        _Refused(row.index, row.reason)
        for row in done.results
        if row.status in ("conflict", "rejected") and row.reason
    ]


def _told(reason: Reason, event: Any) -> dict[str, str]:
    """The field and its rule in the words of a CloudEvent."""
    message = rule_text(FieldError(reason.field, reason.rule, dict(reason.facts)))
    if reason.field == "idempotency_key":
        return {"field": "id", "message": f"source, a space and id: {message}"}
    if reason.field == "quantity":
        return {"field": f"data.{_quantity_name(event['data'])}", "message": message}
    names = {"customer": "subject", "occurred_at": "time"}
    return {"field": names.get(reason.field, reason.field or "event"), "message": message}

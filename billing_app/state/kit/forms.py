"""The forms of dialogs and pages: opening them, showing errors, and what happens when they are saved.

See docs/pages.md. A browser can send anything as a form. While a form is being filled in, it exists only in
the browser, so it survives a lost connection and a restart of the server.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

import reflex as rx
from reflex.event import EventSpec

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import FIRST_YEAR, LAST_YEAR, parse_date, parse_period
from billing_app.domain.rules import BrokenRule
from billing_app.errors import BillingError, Unauthenticated
from billing_app.services.shared import validation
from billing_app.services.shared.idempotency import Answer, RequestKey, find_answer, store_answer
from billing_app.state.kit import address
from billing_app.state.kit.browser import run_in_browser
from billing_app.state.kit.errors import error_sentence, requires_password_change
from billing_app.state.kit.session import Job, P, Service, Session, call, perform
from billing_app.wording.rules import rule_sentence

# The hidden field that has the form as it was opened. The browser sends it back.
OPENED_FORM = "_form"
# The option of a `day_field` that shows its date field.
OTHER_DAY = "date"
_STALE = "Someone else changed this in the meantime. Their values are shown with yours. Save again to replace them."
_NUMBER_DIGITS_MAX = 18
_OPENED_FORM_MAX = 100_000
Result = TypeVar("Result")


@dataclass(frozen=True)
class Form:
    """The state of a form, except for the typed text, which stays in the browser.

    `opened` identifies this opening of the form and is empty if it isn't open. `start` has the initial values
    of the visible fields, and `hidden` the values of the hidden ones. `errors` and `newer` (values that
    someone else saved) are by field. `problem` concerns the whole form.
    """

    opened: str = ""
    title: str = ""
    start: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    newer: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    problem_href: str = ""
    problem_link: str = ""


class HasForm(Protocol):
    """A state with a form, for its page or its dialogs. Only one dialog is open at a time."""

    form: Form


class AlreadySaved(Exception):
    """The form was already saved with the same values."""


class Submission:
    """What the browser does after a form was submitted.

    `repeated` is the toast for a form that is sent again because its first response was lost.
    """

    def __init__(self) -> None:
        self.events: list[Any] = [run_in_browser("formAnswered")]
        self.repeated = "Saved"

    def succeed(self, message: str, *then: Any) -> None:
        """Close the dialog and show a toast. `then` usually reloads the page."""
        self.events = [run_in_browser("closeDialog"), rx.toast.success(message), *then]


def open_dialog(
    state: HasForm,
    dialog: str,
    title: str = "",
    *,
    start: Mapping[str, object] | None = None,
    hidden: Mapping[str, object] | None = None,
) -> EventSpec:
    """Open a dialog. `start` must name every visible field.

    Unless a visible field has that name, a hidden `idempotency_key` is added, so that the form takes effect
    once, however often it is sent.
    """
    values = _texts(start)
    key = {} if "idempotency_key" in values else {"idempotency_key": new_key()}
    state.form = Form(uuid.uuid4().hex, title, values, {**key, **_texts(hidden)})
    return run_in_browser("openDialog", dialog)


def start_form(
    state: HasForm, *, start: Mapping[str, object], hidden: Mapping[str, object] | None = None
) -> None:
    """Start a form that is part of its page. `load` calls this each time.

    Does nothing if the form already has these values, because the user may be typing in it.
    """
    fresh = Form(state.form.opened, "", _texts(start), _texts(hidden))
    if not state.form.opened or state.form != fresh:
        state.form = replace(fresh, opened=uuid.uuid4().hex)


def new_key() -> str:
    """Create an idempotency key for a form."""
    return f"page-{uuid.uuid4()}"


@asynccontextmanager
async def submitting(state: HasForm, form: object) -> AsyncIterator[Submission]:
    """Wrap the service call of a form. Errors are shown in the form, which keeps the typed text.

    `form` is what the browser sent. If the server was restarted, the state is restored from it.
    """
    submission = Submission()
    state.form = _opened_form(state.form, form)
    try:
        yield submission
        state.form = replace(state.form, errors={}, newer={}, problem="", problem_href="")
    except Unauthenticated:
        raise
    except AlreadySaved:
        load = getattr(type(state), "load", None)
        submission.succeed(submission.repeated, *([load] if load else [run_in_browser("reload")]))
    except Exception as error:
        if requires_password_change(error):
            raise
        state.form = show_refusal(state.form, error)


async def call_once(
    state: rx.State, form: object, service: Service[P, Result], /, *args: P.args, **kwargs: P.kwargs
) -> Result:
    """Call a service as `call` does, but only once for the same values from the same opening of a form.

    The browser sends a form again if the connection was lost before the response. Use this for services
    without an idempotency key. Raises AlreadySaved, which `submitting` handles.
    """
    return await call(state, _call_once, _request_key(form), service, args, kwargs)


def _call_once(
    session: Session, actor: Actor, request: RequestKey | None, service: Any, args: Any, kwargs: Any
) -> Any:
    if request and find_answer(session, actor, request, permission=Permission.READ):
        raise AlreadySaved
    result = service(session, actor, *args, **kwargs)
    if request:
        store_answer(session, actor, request, Answer(200, "", {}))
    return result


async def perform_once(
    state: rx.State, form: object, job: Job[P, Result], /, *args: P.args, **kwargs: P.kwargs
) -> Result:
    """Run a job as `perform` does, but only once for the same values from the same opening of a form.

    A job has several transactions, so it must be safe to repeat: if the server was killed after the job, it
    runs again. Raises AlreadySaved.
    """
    return await perform(state, _perform_once, _request_key(form), job, args, kwargs)


def _perform_once(
    database: Database, actor: Actor, request: RequestKey | None, job: Any, args: Any, kwargs: Any
) -> Any:
    if request and database.call(actor, find_answer, request, permission=Permission.READ):
        raise AlreadySaved
    result = job(database, actor, *args, **kwargs)
    if request:
        database.call(actor, store_answer, request, Answer(200, "", {}))
    return result


def _request_key(form: object) -> RequestKey | None:
    """Return the key of this opening of the form with these values, or None if it wasn't sent by a page."""
    opened = _opened_form(Form(), form).opened[:100]
    if not opened or not isinstance(form, dict):
        return None
    values = sorted((str(name), str(value)) for name, value in form.items() if name != OPENED_FORM)
    fingerprint = hashlib.sha256(json.dumps([opened, values]).encode()).hexdigest()
    return RequestKey(f"form-{fingerprint}", "form", fingerprint)


def _opened_form(form: Form, sent: object) -> Form:
    """Return the form that the browser shows, which the state may have lost in a restart."""
    try:
        opened = json.loads(read_text(sent, OPENED_FORM)[:_OPENED_FORM_MAX])
    except (ValueError, RecursionError):
        return form
    if not isinstance(opened, dict) or opened.get("opened") in (None, "", form.opened):
        return form
    return Form(
        str(opened["opened"]),
        str(opened.get("title", "")),
        _texts(opened.get("start")),
        _texts(opened.get("hidden")),
    )


def show_refusal(form: Form, error: Exception) -> Form:
    """Return the form with the error shown at its fields, or above the buttons."""
    form = replace(form, errors={}, newer={}, problem="", problem_href="", problem_link="")
    if not isinstance(error, BillingError):
        return replace(form, problem=error_sentence(error))
    if error.code == "stale":
        return _show_newer(form, error)
    shown = {each.field: rule_sentence(each) for each in error.errors if each.field in form.start}
    if shown and len(shown) == len(error.errors):
        return replace(form, errors=shown)
    href, link = _way_out(error)
    return replace(form, errors=shown, problem=error_sentence(error), problem_href=href, problem_link=link)


def _way_out(error: BillingError) -> tuple[str, str]:
    """Return the address and the label of a link that helps with the error, or empty strings."""
    if error.code == "issuer_incomplete":
        return address.link("/settings"), "Open company details"
    if error.code == "simulation_running":
        simulation = str(error.facts["simulation"])
        return address.link("/plans/simulate", simulation=simulation), "Show that simulation"
    number = error.facts.get("number")
    return (address.link(f"/invoices/{number}"), f"Open {number}") if number else ("", "")


def _show_newer(form: Form, error: BillingError) -> Form:
    newer = _texts(error.facts.get("newer"))
    return replace(
        form,
        problem=str(error.facts.get("explanation", _STALE)),
        # Only values that changed since the form was opened are shown.
        newer={name: value for name, value in newer.items() if form.start.get(name) != value},
        hidden={**form.hidden, "version": str(error.facts.get("version", ""))},
    )


def read_text(form: object, name: str) -> str:
    """Return the text of a field of a form, empty if it is missing."""
    value = form.get(name) if isinstance(form, dict) else None
    return value if isinstance(value, str) else ""


def is_checked(form: object, name: str) -> bool:
    """Return whether a checkbox of a form is checked."""
    return read_text(form, name) == "on"


def read_number(form: object, name: str) -> int:
    """Return a whole number of a form, such as an id or a version. Raises Invalid."""
    return validation.parsed(name, _whole_number, read_text(form, name).strip())


def read_period(form: object, name: str) -> date:
    """Return a period of a form, written as `2026-10`. Raises Invalid."""
    return validation.parsed(name, parse_period, read_text(form, name).strip())


def read_date(form: object, name: str) -> date:
    """Return a date of a form, written as `2026-10-31`. Raises Invalid."""
    return validation.parsed(name, parse_date, read_text(form, name).strip())


def read_day(form: object, name: str) -> date:
    """Return the day of a `day_field`: the selected one, or the date next to it. Raises Invalid."""
    return read_date(form, name if read_text(form, name) != OTHER_DAY else f"{name}_date")


def read_timestamp(form: object, name: str, zone: ZoneInfo) -> datetime | None:
    """Return a timestamp of a form, written as `2026-10-31T16:05` in the viewer's zone.

    Return None if the field is empty. Raises Invalid.
    """
    value = read_text(form, name).strip()
    return validation.parsed(name, _timestamp, value).replace(tzinfo=zone) if value else None


def _timestamp(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        # Converted to UTC here, because the first or last day of the calendar may overflow.
        if FIRST_YEAR < found.year < LAST_YEAR and found.tzinfo is None:
            return found
    except ValueError:
        pass
    raise BrokenRule("not_a_date_and_time")


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS_MAX):
        raise BrokenRule("not_a_whole_number")
    return int(text)


def _texts(values: object) -> dict[str, str]:
    if not isinstance(values, Mapping):
        return {}
    return {str(name): "" if value is None else str(value) for name, value in values.items()}

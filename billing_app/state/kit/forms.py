"""The form of a dialog: what it starts with, how it is refused, and what follows when it is taken.

See docs/pages.md. What a form sends comes from a browser: it may be anything, under any name.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import reflex as rx
from reflex.event import EventSpec

from billing_app.domain.periods import FIRST_YEAR, LAST_YEAR, parse_period
from billing_app.domain.rules import BrokenRule
from billing_app.errors import BillingError, Unauthenticated
from billing_app.services.shared import validation
from billing_app.state.kit import address
from billing_app.state.kit.browser import browser
from billing_app.state.kit.errors import sentence, wants_password
from billing_app.wording.rules import rule_sentence

_STALE = "Somebody else changed this meanwhile. What is there now is shown beside; saving again replaces it."
_NUMBER_MAX = 18


@dataclass(frozen=True)
class Form:
    """What a dialog shows beside its fields' own text, which stays in the browser.

    `start` is what its visible fields start with, `hidden` what is sent along unseen. `errors`
    and `newer` (another person's values) are by field; `problem` is about the whole.
    """

    opened: int = 0
    title: str = ""
    start: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    newer: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    problem_href: str = ""
    problem_link: str = ""


class HasForm(Protocol):
    """A state with the form of its dialogs, of which one is open at a time, or of one in place."""

    form: Form


class Sent:
    """What the browser is to do after a form was sent."""

    def __init__(self) -> None:
        self.events: list[Any] = [browser("answered")]

    def done(self, said: str, *then: Any) -> None:
        """It was taken: the dialog closes, a toast says what happened, `then` reads the list again."""
        self.events = [browser("closeDialog"), rx.toast.success(said), *then]


def opened(
    state: HasForm,
    dialog: str,
    title: str = "",
    *,
    start: Mapping[str, object] | None = None,
    hidden: Mapping[str, object] | None = None,
) -> EventSpec:
    """Opens a dialog whose fields start with `start`; every visible field is named in it."""
    state.form = Form(state.form.opened + 1, title, _texts(start), _texts(hidden))
    return browser("openDialog", dialog)


def started(
    state: HasForm, *, start: Mapping[str, object], hidden: Mapping[str, object] | None = None
) -> None:
    """Starts a form in place; `load` does it, so again after it was saved.

    One that starts so already is left alone: somebody who came back may be typing in it.
    """
    fresh = Form(state.form.opened, "", _texts(start), _texts(hidden))
    if state.form != fresh:
        state.form = replace(fresh, opened=fresh.opened + 1)


def new_key() -> str:
    """An idempotency key for a form: made when it opens, so that sending it twice does it once."""
    return f"page-{uuid.uuid4()}"


@asynccontextmanager
async def submitting(state: HasForm) -> AsyncIterator[Sent]:
    """Around the one service call of a form: a refusal is shown in it, with all that was typed kept."""
    sent = Sent()
    try:
        yield sent
        state.form = replace(state.form, errors={}, newer={}, problem="", problem_href="")
    except Unauthenticated:
        raise
    except Exception as error:
        if wants_password(error):
            raise
        state.form = refused(state.form, error)


def refused(form: Form, error: Exception) -> Form:
    """The form with what a refusal says, each part where it belongs."""
    form = replace(form, errors={}, newer={}, problem="", problem_href="", problem_link="")
    if not isinstance(error, BillingError):
        return replace(form, problem=sentence(error))
    if error.code == "stale":
        return _stale(form, error)
    shown = {each.field: rule_sentence(each) for each in error.errors if each.field in form.start}
    if shown and len(shown) == len(error.errors):
        return replace(form, errors=shown)
    number = error.facts.get("number")
    return replace(
        form,
        errors=shown,
        problem=sentence(error),
        problem_href=address.link(f"/invoices/{number}") if number else "",
        problem_link=f"Open {number}" if number else "",
    )


def _stale(form: Form, error: BillingError) -> Form:
    newer = _texts(error.facts.get("newer"))
    return replace(
        form,
        problem=str(error.facts.get("explanation", _STALE)),
        # What nobody has changed since the form opened needs no second look.
        newer={name: value for name, value in newer.items() if form.start.get(name) != value},
        hidden={**form.hidden, "version": str(error.facts.get("version", ""))},
    )


def typed(form: object, name: str) -> str:
    """What a form says in a field; empty when it says nothing, or no text."""
    value = form.get(name) if isinstance(form, dict) else None
    return value if isinstance(value, str) else ""


def is_ticked(form: object, name: str) -> bool:
    """Whether a checkbox of a form is ticked."""
    return typed(form, name) == "on"


def typed_number(form: object, name: str) -> int:
    """A whole number of a form, for ids and versions; raises Invalid."""
    return validation.parsed(name, _whole, typed(form, name).strip())


def typed_period(form: object, name: str) -> date:
    """A month of a form, `2026-10`; raises Invalid."""
    return validation.parsed(name, parse_period, typed(form, name).strip())


def typed_day(form: object, name: str) -> date:
    """A day of a form, `2026-10-31`; raises Invalid."""
    return validation.parsed(name, _day, typed(form, name).strip())


def typed_moment(form: object, name: str, zone: ZoneInfo) -> datetime | None:
    """A moment of a form, `2026-10-31T16:05` in the viewer's zone; None when empty. Raises Invalid."""
    value = typed(form, name).strip()
    return validation.parsed(name, _moment, value).replace(tzinfo=zone) if value else None


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        # As UTC it must be in the calendar as well: with its zone, the first day of it may not be.
        if FIRST_YEAR < found.year < LAST_YEAR and found.tzinfo is None:
            return found
    except ValueError:
        pass
    raise BrokenRule("not_a_date_and_time")


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER_MAX):
        raise BrokenRule("not_a_whole_number")
    return int(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BrokenRule("not_a_date") from None


def _texts(values: object) -> dict[str, str]:
    if not isinstance(values, Mapping):
        return {}
    return {str(name): "" if value is None else str(value) for name, value in values.items()}

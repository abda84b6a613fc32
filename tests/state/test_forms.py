"""Where a form shows what a refusal says, and what it makes of anything that is sent."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from billing_app.errors import Conflict, FieldError, Forbidden, Invalid, Unauthenticated
from billing_app.state.kit import forms
from billing_app.state.kit.forms import Form
from tests.refusals import refused
from tests.state.loops import in_a_loop

ANYTHING = (None, 3, 1.5, True, [], {}, "text", b"", {"name": None}, {"name": ["x"]}, {"name": {"a": 1}})


class Page:
    """A state with a form."""

    form = Form(start={"name": "Ada", "plan": "1"}, hidden={"version": "4"})


def test_an_error_of_a_field_stands_under_it() -> None:
    form = forms.refused(Page.form, Invalid("name", "must not be empty"))
    assert form.errors == {"name": "Must not be empty."}
    assert form.problem == ""


def test_an_error_of_a_field_that_is_not_shown_is_said_of_the_whole() -> None:
    error = Invalid("version", "must be a number")
    assert forms.refused(Page.form, error).problem == "Version: must be a number"
    error.errors = (FieldError("name", "must not be empty"), *error.errors)
    form = forms.refused(Page.form, error)
    assert (form.errors, form.problem) == ({"name": "Must not be empty."}, "Version: must be a number")


def test_a_refusal_leads_to_the_invoice_that_it_names() -> None:
    error = Conflict("October 2026 is already invoiced: ACME-0003", code="invoice_exists", number="ACME-0003")
    form = forms.refused(Page.form, error)
    assert form.problem == error.detail
    assert (form.problem_href, form.problem_link) == ("/invoices/ACME-0003", "Open ACME-0003")


def test_a_form_in_place_starts_again_only_when_there_is_something_new() -> None:
    page = Page()
    forms.started(page, start={"name": "Ada"}, hidden={"version": 1})
    begun = page.form
    assert begun.start == {"name": "Ada"}
    forms.started(page, start={"name": "Ada"}, hidden={"version": 1})
    assert page.form == begun
    page.form = forms.refused(begun, Invalid("name", "must not be empty"))
    forms.started(page, start={"name": "Ada"}, hidden={"version": 1})
    assert (page.form.errors, page.form.opened) == ({}, begun.opened + 1)
    forms.started(page, start={"name": "Grace"}, hidden={"version": 2})
    assert (page.form.start["name"], page.form.opened) == ("Grace", begun.opened + 2)


def test_newer_values_are_shown_and_saving_again_is_about_them() -> None:
    error = Conflict("changed", code="stale", version=7, newer={"name": "Grace", "address": None})
    form = forms.refused(Page.form, error)
    assert form.newer == {"name": "Grace", "address": ""}
    assert form.hidden["version"] == "7"
    assert form.start == Page.form.start
    again = forms.refused(form, Invalid("name", "must not be empty"))
    assert (again.newer, again.problem, again.hidden["version"]) == ({}, "", "7")


def test_nothing_internal_is_said() -> None:
    assert "secret" not in forms.refused(Page.form, RuntimeError("secret")).problem


def submitted(error: Exception | None) -> tuple[Page, list[str]]:
    async def work() -> tuple[Page, list[str]]:
        page = Page()
        async with forms.submitting(page) as sent:
            if error:
                raise error
            sent.done("It is done")
        return page, [str(event) for event in sent.events]

    return in_a_loop(work())


def test_a_form_that_is_taken_closes_and_one_that_is_refused_stays() -> None:
    page, events = submitted(None)
    assert "closeDialog" in events[0]
    assert "It is done" in events[1]
    page, events = submitted(Conflict("it is so already"))
    assert page.form.problem == "It is so already"
    assert len(events) == 1
    assert "answered" in events[0]


@pytest.mark.parametrize("error", [Unauthenticated("no"), Forbidden("no", code="password_change_required")])
def test_what_leads_to_another_page_is_not_shown_in_the_form(error: Exception) -> None:
    with pytest.raises(type(error)):
        submitted(error)


@pytest.mark.parametrize("sent", ANYTHING, ids=repr)
def test_whatever_is_sent_is_text_or_refused(sent: object) -> None:
    assert forms.typed(sent, "name") == ""
    assert not forms.is_ticked(sent, "name")
    for parse in (forms.typed_number, forms.typed_period, forms.typed_day):
        with refused("invalid", field="name"):
            parse(sent, "name")


def test_what_was_typed_is_read() -> None:
    sent = {"text": " x ", "tick": "on", "number": " 12", "month": "2026-10 ", "day": "2026-10-31"}
    assert forms.typed(sent, "text") == " x "
    assert forms.is_ticked(sent, "tick")
    assert forms.typed_number(sent, "number") == 12
    assert forms.typed_period(sent, "month") == date(2026, 10, 1)
    assert forms.typed_day(sent, "day") == date(2026, 10, 31)


@pytest.mark.parametrize("text", ["1.5", "-1", "٣", "9" * 19, "0x1", ""])
def test_a_number_that_is_none_is_refused(text: str) -> None:
    with refused("invalid", field="n"):
        forms.typed_number({"n": text}, "n")


def test_each_opening_has_other_fields_and_another_key() -> None:
    page = Page()
    forms.opened(page, "plan", start={"name": None}, hidden={"idempotency_key": forms.new_key()})
    first = page.form
    forms.opened(page, "plan", start={"name": 3}, hidden={"idempotency_key": forms.new_key()})
    assert (first.start, page.form.start) == ({"name": ""}, {"name": "3"})
    assert first.opened != page.form.opened
    assert first.hidden != page.form.hidden


def test_a_moment_is_in_the_viewers_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    moment = forms.typed_moment({"at": "2026-10-31T16:05"}, "at", berlin)
    assert moment == datetime(2026, 10, 31, 15, 5, tzinfo=UTC)
    assert forms.typed_moment({"at": " "}, "at", berlin) is None


@pytest.mark.parametrize(
    "text", ["soon", "2026-13-01T00:00", "0001-01-01T00:00", "9999-12-31T23:59", "2026-10-31T16:05Z"]
)
def test_a_moment_that_is_none_is_refused(text: str) -> None:
    with refused("invalid", field="at"):
        forms.typed_moment({"at": text}, "at", ZoneInfo("Pacific/Kiritimati"))


def test_only_what_somebody_else_changed_is_shown() -> None:
    error = Conflict("changed", code="stale", version=7, newer={"name": "Ada", "plan": "2"})
    assert forms.refused(Page.form, error).newer == {"plan": "2"}

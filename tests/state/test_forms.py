"""Forms: where errors are shown, how a form survives a restart, and how malformed input is handled."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from billing_app.errors import BillingError, Conflict, FieldError, Forbidden, Invalid, Unauthenticated
from billing_app.state.kit import forms
from billing_app.state.kit.forms import Form
from tests.loops import in_a_loop
from tests.refusals import refused

ANYTHING = (None, 3, 1.5, True, [], {}, "text", b"", {"name": None}, {"name": ["x"]}, {"name": {"a": 1}})


class Page:
    """A state with a form."""

    form = Form("first", start={"name": "Ada", "plan": "1"}, hidden={"version": "4"})


def test_error_of_a_visible_field_is_shown_under_it() -> None:
    form = forms.show_refusal(Page.form, Invalid("name", "empty"))
    assert form.errors == {"name": "Must not be empty."}
    assert form.problem == ""


def test_error_of_a_hidden_field_is_shown_for_the_whole_form() -> None:
    error = Invalid("version", "not_a_whole_number")
    assert forms.show_refusal(Page.form, error).problem == "version must be a whole number."
    error.errors = (FieldError("name", "empty"), *error.errors)
    form = forms.show_refusal(Page.form, error)
    assert form.errors == {"name": "Must not be empty."}
    assert form.problem == "name must not be empty. version must be a whole number."


def test_refusal_links_to_the_invoice_that_it_names() -> None:
    error = Conflict("invoice_exists", number="ACME-0003", period=date(2026, 10, 1))
    form = forms.show_refusal(Page.form, error)
    assert form.problem == "October 2026 is already invoiced (ACME-0003)."
    assert (form.problem_href, form.problem_link) == ("/invoices/ACME-0003", "Open ACME-0003")


def test_form_of_a_page_starts_again_only_when_something_is_new() -> None:
    page = Page()
    forms.start_form(page, start={"name": "Ada"}, hidden={"version": 1})
    first = page.form
    assert first.start == {"name": "Ada"}
    forms.start_form(page, start={"name": "Ada"}, hidden={"version": 1})
    assert page.form == first
    page.form = forms.show_refusal(first, Invalid("name", "empty"))
    forms.start_form(page, start={"name": "Ada"}, hidden={"version": 1})
    second = page.form
    assert second.errors == {}
    forms.start_form(page, start={"name": "Grace"}, hidden={"version": 2})
    assert page.form.start["name"] == "Grace"
    assert len({first.opened, second.opened, page.form.opened}) == 3


def test_newer_values_are_shown_and_saved_over_the_next_time() -> None:
    error = Conflict("stale", version=7, newer={"name": "Grace", "address": None})
    form = forms.show_refusal(Page.form, error)
    assert form.newer == {"name": "Grace", "address": ""}
    assert form.hidden["version"] == "7"
    assert form.start == Page.form.start
    again = forms.show_refusal(form, Invalid("name", "empty"))
    assert (again.newer, again.problem, again.hidden["version"]) == ({}, "", "7")


def test_only_values_that_someone_else_changed_are_shown() -> None:
    error = Conflict("stale", version=7, newer={"name": "Ada", "plan": "2"})
    assert forms.show_refusal(Page.form, error).newer == {"plan": "2"}


def test_unexpected_error_is_not_shown() -> None:
    assert "secret" not in forms.show_refusal(Page.form, RuntimeError("secret")).problem


def submitted(error: Exception | None, sent: object = None, form: Form = Page.form) -> tuple[Form, list[str]]:
    async def work() -> tuple[Form, list[str]]:
        page = Page()
        page.form = form
        async with forms.submitting(page, sent) as submission:
            if error:
                raise error
            submission.succeed("Customer Acme created")
        return page.form, [str(event) for event in submission.events]

    return in_a_loop(work())


def test_saved_form_closes_and_refused_form_stays_open() -> None:
    _, events = submitted(None)
    assert "closeDialog" in events[0]
    assert "Customer Acme created" in events[1]
    form, events = submitted(Conflict("own_password"))
    assert form.problem == "Change your own password in your account settings."
    assert len(events) == 1
    assert "formAnswered" in events[0]


@pytest.mark.parametrize("error", [Unauthenticated("not_signed_in"), Forbidden("password_change_required")])
def test_refusal_that_leads_to_another_page_is_not_shown_in_the_form(error: BillingError) -> None:
    with pytest.raises(type(error)):
        submitted(error)


def test_form_is_restored_from_the_browser_after_a_restart() -> None:
    opened = Form("first", "Edit Acme", {"name": "Acme"}, {"key": "acme", "version": "4"})
    sent = {"name": "", forms.OPENED_FORM: json.dumps(asdict(opened))}
    form, _ = submitted(Invalid("name", "empty"), sent, form=Form())
    assert (form.opened, form.title) == ("first", "Edit Acme")
    assert (form.start, form.hidden) == (opened.start, opened.hidden)
    assert form.errors == {"name": "Must not be empty."}
    stale = Conflict("stale", version=9, newer={"name": "Acme Ltd"})
    form, _ = submitted(stale, sent, form=Form())
    assert (form.newer, form.hidden) == ({"name": "Acme Ltd"}, {"key": "acme", "version": "9"})


def test_form_that_the_state_knows_is_not_replaced_by_the_browsers() -> None:
    sent = {forms.OPENED_FORM: json.dumps({"opened": "first", "hidden": {"version": "99"}})}
    form, _ = submitted(None, sent)
    assert form.hidden == {"version": "4"}


@pytest.mark.parametrize(
    "opened", ["", "no JSON", "[]", "null", '{"opened": ""}', '{"hidden": 3}', "[" * 5000, '"x"']
)
def test_form_that_is_malformed_is_ignored(opened: str) -> None:
    form, _ = submitted(None, {forms.OPENED_FORM: opened})
    assert form == Page.form


@pytest.mark.parametrize("sent", ANYTHING, ids=repr)
def test_anything_that_is_sent_is_text_or_refused(sent: object) -> None:
    assert forms.read_text(sent, "name") == ""
    assert not forms.is_checked(sent, "name")
    for parse in (forms.read_number, forms.read_period, forms.read_date):
        with refused("invalid", field="name"):
            parse(sent, "name")


def test_typed_values_are_read() -> None:
    sent = {"text": " x ", "tick": "on", "number": " 12", "month": "2026-10 ", "day": "2026-10-31"}
    assert forms.read_text(sent, "text") == " x "
    assert forms.is_checked(sent, "tick")
    assert forms.read_number(sent, "number") == 12
    assert forms.read_period(sent, "month") == date(2026, 10, 1)
    assert forms.read_date(sent, "day") == date(2026, 10, 31)


@pytest.mark.parametrize("text", ["1.5", "-1", "٣", "9" * 19, "0x1", ""])
def test_text_that_is_not_a_whole_number_is_refused(text: str) -> None:
    with refused("invalid", field="n"):
        forms.read_number({"n": text}, "n")


def test_each_opening_has_fields_and_a_key_of_its_own() -> None:
    page = Page()
    forms.open_dialog(page, "plan", start={"name": None})
    first = page.form
    forms.open_dialog(page, "plan", start={"name": 3}, hidden={"version": 1})
    assert (first.start, page.form.start) == ({"name": ""}, {"name": "3"})
    assert first.opened != page.form.opened
    assert first.hidden["idempotency_key"] != page.form.hidden["idempotency_key"]
    assert page.form.hidden["version"] == "1"


def test_key_that_is_shown_is_not_hidden_as_well() -> None:
    page = Page()
    forms.open_dialog(page, "record", start={"idempotency_key": "k"})
    assert "idempotency_key" not in page.form.hidden


def test_time_is_read_in_the_viewers_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    moment = forms.read_timestamp({"at": "2026-10-31T16:05"}, "at", berlin)
    assert moment == datetime(2026, 10, 31, 15, 5, tzinfo=UTC)
    assert forms.read_timestamp({"at": " "}, "at", berlin) is None


@pytest.mark.parametrize(
    "text", ["soon", "2026-13-01T00:00", "0001-01-01T00:00", "9999-12-31T23:59", "2026-10-31T16:05Z"]
)
def test_text_that_is_not_a_time_is_refused(text: str) -> None:
    with refused("invalid", field="at"):
        forms.read_timestamp({"at": text}, "at", ZoneInfo("Pacific/Kiritimati"))

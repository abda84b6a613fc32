"""Editing the terms of a plan in a dialog: which fields it shows, and examples of what they cost."""

from __future__ import annotations

from dataclasses import replace

import reflex as rx

from billing_app.domain.terms import Meter
from billing_app.services.plans import plans
from billing_app.services.plans.rows import PlanRow
from billing_app.state.kit.forms import Form
from billing_app.state.kit.numbers import TYPED_MAX, viewer_notation
from billing_app.state.kit.session import call
from billing_app.state.pages import plan_editor
from billing_app.state.pages.plan_editor import PlanEditor


class PlanEditing(rx.State, mixin=True):
    """What every page with such a dialog has. The fields are in ui/pages/plan_fields.py."""

    form: Form = Form()
    editor: PlanEditor = PlanEditor()
    _typed: rx.Field[dict[str, str]] = rx.field(default_factory=dict)
    _meters: rx.Field[dict[str, Meter]] = rx.field(default_factory=dict)

    @rx.event
    async def show_models(self) -> None:
        """Show the model and the meter of each charge, and examples of what it costs."""
        await _edit(self, replace(self.editor, is_simple=False))

    @rx.event
    async def add_charge(self) -> None:
        """Add a charge for another meter."""
        if self.editor.can_add:
            await _edit(self, plan_editor.add_charge(self.editor, await _read_meters(self)))

    @rx.event
    async def remove_charge(self, key: int) -> None:
        """Remove a charge."""
        await _edit(self, plan_editor.remove_charge(self.editor, key))

    @rx.event
    async def choose_model(self, key: int, model: str) -> None:
        """Show the fields of a model."""
        await _edit(self, plan_editor.choose_model(self.editor, key, str(model)))

    @rx.event
    async def choose_meter(self, key: int, code: str) -> None:
        """Show the unit of a meter."""
        meters = await _read_meters(self)
        await _edit(self, plan_editor.choose_meter(self.editor, key, str(code), meters))

    @rx.event
    async def add_tier(self, key: int) -> None:
        """Add a tier to a charge."""
        await _edit(self, plan_editor.add_tier(self.editor, key))

    @rx.event
    async def remove_tier(self, key: int, tier: int) -> None:
        """Remove a tier of a charge."""
        await _edit(self, plan_editor.remove_tier(self.editor, key, tier))

    @rx.event
    async def type_term(self, opened: str, name: str, value: str) -> None:
        """Show examples for the terms typed so far."""
        if opened == self.form.opened and name in self.form.start:
            self._typed = {**self._typed, name: str(value)[:TYPED_MAX]}
            await show_examples(self)


async def start_editing(state: PlanEditing, plan: PlanRow | None) -> dict[str, str]:
    """Start with the terms of a new plan, or of an existing one. Return the initial values of the charges."""
    state._typed, state._meters = {}, {}
    state.editor = plan_editor.start_editor(plan, await _read_meters(state))
    return plan_editor.start_values(state.editor, plan, viewer_notation(state))


async def _read_meters(state: PlanEditing) -> dict[str, Meter]:
    if not state._meters:
        state._meters = await call(state, plans.list_charge_meters)
    return state._meters


async def _edit(state: PlanEditing, editor: PlanEditor) -> None:
    """Show other fields. Those that appear again start with what was typed in them."""
    state.editor = editor
    start = plan_editor.start_values(editor, None, viewer_notation(state))
    state.form = replace(state.form, start={**start, **state.form.start, **state._typed})
    await show_examples(state)


async def show_examples(state: PlanEditing) -> None:
    """Show examples of what the terms typed so far cost."""
    typed = {**state.form.start, **state._typed}
    meters = await _read_meters(state)
    state.editor = plan_editor.with_examples(
        state.editor, typed, typed.get("currency", "").strip(), viewer_notation(state), meters
    )

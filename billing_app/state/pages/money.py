"""The form of money that was received or paid back: how it starts, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import reflex as rx
from reflex.event import EventSpec

from billing_app.domain.money import Amount, major_text
from billing_app.state.kit.forms import new_key, open_dialog, read_text
from billing_app.state.kit.numbers import read_decimal, viewer_notation


def open_money_dialog(
    state: Any,
    dialog: str,
    title: str,
    left: Amount,
    *,
    start: Mapping[str, object],
    hidden: Mapping[str, object],
) -> EventSpec:
    """Open a dialog of `state` with the whole amount that is left. `start` has the other visible fields.

    The form contains an idempotency key and what is left, so that submitting it twice records the money once,
    and what someone else records in between is detected.
    """
    written = major_text(*left)
    return open_dialog(
        state,
        dialog,
        title,
        start={"amount": viewer_notation(state).write(written), "reference": "", **start},
        hidden={"version": written, "idempotency_key": new_key(), **hidden},
    )


def read_money(state: rx.State, form: object) -> dict[str, str]:
    """Return the amount, the reference and the idempotency key of the form. Raises Invalid."""
    return {
        "amount": read_decimal(state, form, "amount"),
        "reference": read_text(form, "reference"),
        "idempotency_key": read_text(form, "idempotency_key"),
    }

"""Company details: the issuer, which all users can view and admins can edit."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.services.invoices import issuer
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import Form, call_once, read_number, read_text, start_form, submitting
from billing_app.state.kit.session import call
from billing_app.state.presenters.settings import IssuerItem


class IssuerState(rx.State):
    """The issuer as the next invoice will show it."""

    phase: str = LOADING
    problem: str = ""
    issuer: IssuerItem = IssuerItem()
    form: Form = Form()

    @rx.event
    async def load(self) -> None:
        """Show the issuer and start the form with it."""
        async with loading(self):
            row = await call(self, issuer.get_issuer)
            values = {
                "name": row.name,
                "email": row.email,
                "address": row.address,
                "payment_instructions": row.payment_instructions,
            }
            self.issuer = IssuerItem(**values, is_complete=row.is_complete)
            start_form(self, start=values, hidden={"version": row.version})

    @rx.event
    async def save(self, form: dict[str, Any]) -> Any:
        """Replace the issuer that new invoices show."""
        async with submitting(self, form) as submission:
            await call_once(
                self,
                form,
                issuer.update_issuer,
                name=read_text(form, "name"),
                email=read_text(form, "email"),
                address=read_text(form, "address"),
                payment_instructions=read_text(form, "payment_instructions"),
                version=read_number(form, "version"),
            )
            submission.succeed("Company details saved. New invoices will show them.", IssuerState.load)
        return submission.events

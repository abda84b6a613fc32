"""Read and replace the issuer: the company details that new invoices show."""

from __future__ import annotations

from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Version
from billing_app.services.invoices import issuer
from billing_app.services.invoices.issuer import IssuerRow

router = resource("/issuer", "Issuer")


class Issuer(BaseModel):
    """The issuer. Every field is empty until an admin sets it."""

    name: str = Field(examples=["Northwind Metering Ltd"])
    address: str = Field(examples=["12 Harbour Road\nBristol BS1 4RW"])
    email: str = Field(examples=["billing@northwind.example"])
    payment_instructions: str = Field(examples=["IBAN GB33 BUKB 2020 1555 5555 55"])
    version: int = Field(examples=[2])


class IssuerUpdate(Body):
    """Every field of the issuer."""

    name: str = Field(examples=["Northwind Metering Ltd"])
    address: str = Field(examples=["12 Harbour Road\nBristol BS1 4RW"])
    email: str = Field(examples=["billing@northwind.example"])
    payment_instructions: str = Field(
        examples=["IBAN GB33 BUKB 2020 1555 5555 55"],
        description="How to pay, for example the bank account and the reference to give. May be empty.",
    )
    version: Version | None = None


@router.get("")
def get_issuer(call: Caller) -> Issuer:
    """Get the issuer as the next invoice will show it."""
    return _issuer_of(call.do(issuer.get_issuer))


@router.put("", responses=refusals("stale"))
def update_issuer(call: Caller, body: IssuerUpdate) -> Issuer:
    """Replace the issuer.

    New invoices show it. Existing invoices keep their copy. The name and the address are required
    before the first invoice.
    """
    updated = call.do(
        issuer.update_issuer,
        name=body.name,
        address=body.address,
        email=body.email,
        payment_instructions=body.payment_instructions,
        version=body.version,
    )
    return _issuer_of(updated)


def _issuer_of(row: IssuerRow) -> Issuer:
    return Issuer(
        name=row.name,
        address=row.address,
        email=row.email,
        payment_instructions=row.payment_instructions,
        version=row.version,
    )

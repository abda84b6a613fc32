"""The demo's company: Cartolane sells a geocoding and routing API and charges per request.

Everything is fictional.
"""

from __future__ import annotations

from typing import NamedTuple


class Company(NamedTuple):
    """The issuer, with the parameters of `update_issuer`."""

    name: str
    address: str
    email: str
    payment_instructions: str


ISSUER = Company(
    name="Cartolane Inc.",
    address="86 Lighthouse Row, Suite 4\nPortland, ME 04101\nUnited States",
    email="billing@cartolane.example",
    payment_instructions=(
        "Pay within 30 days and include the invoice number.\n"
        "USD: ACH or wire to Casco Harbor Bank, routing 000111025, account 8840217736\n"
        "EUR: SEPA to Hafenbank Bremen, IBAN DE00 2905 0000 0884 0217 73"
    ),
)


class Terms(NamedTuple):
    """One version of a plan, with the parameters of `create_plan`."""

    name: str
    currency: str
    monthly_price: str
    included_units: int
    overage_unit_price: str


PLANS = (
    Terms("Pilot", "USD", "0.00", 10_000, "0.0015"),
    Terms("Starter", "USD", "49.00", 50_000, "0.0019"),
    Terms("Growth", "USD", "249.00", 400_000, "0.00105"),
    Terms("Scale", "USD", "1490.00", 4_000_000, "0.000385"),
    Terms("Growth Europe", "EUR", "239.00", 400_000, "0.00098"),
)
# The pilot plan is archived. Its customers stay on it.
PILOT_ARCHIVED_IN = 2
# More units for a higher price. Customers of the first version move later, or never.
NEW_GROWTH = Terms("Growth", "USD", "289.00", 450_000, "0.00095")
NEW_GROWTH_IN = 6

"""The demo's company: Cartolane sells a geocoding and routing API, maps, and seats in its dashboard.

Everything is fictional.
"""

from __future__ import annotations

from typing import NamedTuple

from billing_app.services.plans.charges import ChargeTerms, TierTerms


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


class DemoMeter(NamedTuple):
    """A meter, with the parameters of `create_meter`."""

    code: str
    name: str
    unit: str
    aggregation: str


# Requests are recorded on the default meter, which gets this name and unit.
REQUESTS = ("API requests", "request")
TILES = DemoMeter("map_tiles", "Map tiles", "tile", "sum")
SEATS = DemoMeter("seats", "Dashboard seats", "seat", "max")


class Terms(NamedTuple):
    """One version of a plan, with the parameters of `create_plan`: charges, or the simple form."""

    name: str
    currency: str
    monthly_price: str
    included_units: int | None = None
    overage_unit_price: str | None = None
    charges: tuple[ChargeTerms, ...] | None = None


# The more requests a month, the less each of the last ones costs.
_SCALE_TIERS = (TierTerms("0", 4_000_000), TierTerms("0.000385", 20_000_000), TierTerms("0.00031"))
PLANS = (
    Terms("Pilot", "USD", "0.00", 10_000, "0.0015"),
    Terms("Starter", "USD", "49.00", 50_000, "0.0019"),
    Terms("Growth", "USD", "249.00", 400_000, "0.00105"),
    Terms("Scale", "USD", "1490.00", charges=(ChargeTerms("graduated", tiers=_SCALE_TIERS),)),
    Terms("Growth Europe", "EUR", "239.00", 400_000, "0.00098"),
)
# The pilot plan is archived. Its customers stay on it.
PILOT_ARCHIVED_IN = 2
# More requests for a higher price, map tiles in packages, and seats in the dashboard. Customers of the first
# version move later, or never.
NEW_GROWTH = Terms(
    "Growth",
    "USD",
    "289.00",
    charges=(
        ChargeTerms("per_unit", included_units=450_000, unit_price="0.00095"),
        ChargeTerms("package", TILES.code, included_units=100_000, package_size=50_000, package_price="9.00"),
        ChargeTerms("per_unit", SEATS.code, included_units=3, unit_price="15.00"),
    ),
)
NEW_GROWTH_IN = 6

"""The demo's customers and what happens to them. Everything is fictional.

Months are numbered from the demo's first one, 0, to the current one, 12.
"""

from __future__ import annotations

from typing import NamedTuple

# Units are the requests of the first month. Growth is the factor from month to month.
_TABLE = """
key         | name                      | address                                        | plan          | month | units    | growth | use     | pays
lanternlark | Lantern & Lark            | 9 Spruce Court; Burlington, VT 05401           | Pilot         | 0     | 6500     | 1.02   | office  | prompt
tidewise    | Tidewise Labs             | 31 Anchor Street; Newport, RI 02840            | Pilot         | 1     | 11800    | 1.03   | steady  | prompt
brightloaf  | Brightloaf Bakeries       | 412 Mill Row; Duluth, MN 55802                 | Starter       | 0     | 31000    | 1.02   | shop    | prompt
pedalpost   | Pedal & Post Couriers     | 77 Canal Walk; Richmond, VA 23219              | Starter       | 0     | 88000    | 1.05   | freight | monthend
maplestreet | Maple Street Realty       | 15 Maple Street; Ann Arbor, MI 48104           | Starter       | 0     | 18500    | 1.01   | office  | prompt
fernhollow  | Fernhollow Gardens        | 2208 Orchard Road; Eugene, OR 97401            | Starter       | 0     | 24000    | 1.01   | shop    | late
quillmark   | Quillmark Insurance       | 500 Statehouse Square; Hartford, CT 06103      | Starter       | 0     | 39000    | 1.03   | office  | monthend
driftwood   | Driftwood Campers         | 18 Dune Lane; Bend, OR 97702                   | Starter       | 0     | 34000    | 1.02   | travel  | prompt
sprocket    | Sprocket Repair Co.       | 640 Foundry Avenue; Toledo, OH 43604           | Starter       | 1     | 12500    | 1.00   | office  | late
littlefjord | Little Fjord Tours        | 3 Harbor Steps; Bellingham, WA 98225           | Starter       | 2     | 27000    | 1.03   | travel  | prompt
copperkettle| Copperkettle Catering     | 291 Market Lane; Savannah, GA 31401            | Starter       | 3     | 21000    | 1.02   | shop    | halves
hearthhound | Hearth & Hound Vets       | 44 Chestnut Hill; Boulder, CO 80302            | Starter       | 4     | 9800     | 1.05   | office  | prompt
bluebird    | Bluebird Florists         | 1020 Garden Street; Charleston, SC 29403       | Starter       | 5     | 16500    | 1.04   | shop    | monthend
granite     | Granite State Moving      | 8 Quarry Road; Concord, NH 03301               | Starter       | 6     | 44000    | 1.05   | freight | prompt
oakline     | Oakline Surveyors         | 356 Meridian Way; Boise, ID 83702              | Starter       | 7     | 29000    | 1.03   | office  | prompt
saffron     | Saffron Table             | 73 Basil Street; Providence, RI 02903          | Starter       | 8     | 19500    | 1.06   | shop    | prompt
ninepin     | Ninepin Events            | 12 Alley Court; Milwaukee, WI 53202            | Starter       | 10    | 23000    | 1.05   | travel  | part
willowbrook | Willowbrook Transit       | 1 Depot Plaza; Ithaca, NY 14850                | Starter       | 12    | 47000    | 1.00   | steady  | prompt
parcelwren  | Parcelwren                | 220 Dockside Drive; Baltimore, MD 21230        | Growth        | 0     | 610000   | 1.04   | freight | monthend
hollisvane  | Hollis & Vane Logistics   | 9000 Intermodal Parkway; Memphis, TN 38118     | Growth        | 0     | 480000   | 1.03   | freight | halves
stayfinch   | Stayfinch                 | 55 Mission Terrace; San Diego, CA 92103        | Growth        | 0     | 350000   | 1.03   | travel  | prompt
dashpantry  | Dashpantry                | 710 Larder Lane; Columbus, OH 43215            | Growth        | 0     | 295000   | 1.07   | shop    | prompt
urbanquill  | Urbanquill                | 133 Printers Row; Chicago, IL 60605            | Growth        | 0     | 210000   | 1.02   | office  | monthend
ridgeway    | Ridgeway Energy           | 4100 Turbine Road; Amarillo, TX 79101          | Growth        | 1     | 390000   | 1.00   | steady  | monthend
marlowe     | Marlowe Fleet             | 27 Axle Street; Omaha, NE 68102                | Growth        | 2     | 520000   | 1.02   | freight | prompt
kestrel     | Kestrel Health            | 880 Wellness Way; Nashville, TN 37203          | Growth        | 3     | 265000   | 1.05   | office  | prompt
tablebird   | Tablebird                 | 64 Supper Street; New Orleans, LA 70130        | Growth        | 3     | 330000   | 1.01   | shop    | monthend
roamwell    | Roamwell                  | 19 Switchback Trail; Asheville, NC 28801       | Growth        | 5     | 410000   | 1.04   | travel  | late
homeharbor  | Homeharbor                | 2 Keystone Place; Pittsburgh, PA 15222         | Growth        | 6     | 180000   | 1.06   | office  | prompt
clover      | Cloverfield Markets       | 1500 Pasture Road; Des Moines, IA 50309        | Growth        | 7     | 455000   | 1.05   | shop    | prompt
beaconride  | Beacon Rideshare          | 39 Signal Hill; Buffalo, NY 14202              | Growth        | 8     | 980000   | 1.12   | steady  | monthend
vantor      | Vantor Analytics          | 250 Ledger Avenue; Raleigh, NC 27601           | Growth        | 9     | 360000   | 1.04   | office  | prompt
halcyon     | Halcyon Freight           | 1 Railhead Boulevard; Kansas City, MO 64108    | Scale         | 0     | 9400000  | 1.03   | freight | monthend
everline    | Everline Retail Group     | 77 Concourse Avenue; Atlanta, GA 30303         | Scale         | 0     | 17500000 | 1.02   | shop    | monthend
zephyr      | Zephyr Mobility           | 308 Current Street; Austin, TX 78701           | Scale         | 2     | 5200000  | 1.06   | steady  | prompt
wayfare     | Wayfare Collective        | 14 Compass Court; Denver, CO 80205             | Scale         | 4     | 3700000  | 1.04   | travel  | monthend
summit      | Summit Utilities          | 600 Reservoir Road; Salt Lake City, UT 84101   | Scale         | 7     | 2900000  | 1.01   | steady  | prompt
orbital     | Orbital Delivery          | 42 Launch Avenue; San Jose, CA 95113           | Scale         | 9     | 24000000 | 1.09   | freight | prompt
nordlicht   | Nordlicht Logistik GmbH   | Speicherkai 12; 20457 Hamburg; Germany         | Growth Europe | 0     | 540000   | 1.03   | freight | prompt
verveine    | Maison Verveine SARL      | 8 rue des Tanneurs; 69005 Lyon; France         | Growth Europe | 0     | 150000   | 1.04   | shop    | monthend
fietsoost   | Fietskoerier Oost BV      | Oudegracht 301; 3511 Utrecht; Netherlands      | Growth Europe | 1     | 230000   | 1.03   | freight | prompt
alpenroute  | Alpenroute GmbH           | Talgasse 5; 6020 Innsbruck; Austria            | Growth Europe | 2     | 370000   | 1.02   | travel  | late
casalimon   | Casa Limón Viajes SL      | Calle del Mar 40; 46003 Valencia; Spain        | Growth Europe | 4     | 285000   | 1.05   | travel  | prompt
lumiere     | Lumière Immobilier SAS    | 21 quai des Ormes; 75004 Paris; France         | Growth Europe | 6     | 120000   | 1.05   | office  | monthend
rheinfahrt  | Rheinfahrt Mobil GmbH     | Uferstraße 88; 50996 Köln; Germany             | Growth Europe | 8     | 460000   | 1.05   | steady  | prompt
tramonto    | Tramonto Eventi Srl       | Via dei Portici 17; 40126 Bologna; Italy       | Growth Europe | 11    | 95000    | 1.05   | office  | prompt
"""


class DemoCustomer(NamedTuple):
    """A new customer. `use` names a usage pattern, and `pays` a payment habit."""

    key: str
    name: str
    billing_address: str
    plan: str
    month: int
    units: int
    growth: float
    use: str
    pays: str

    @property
    def email(self) -> str:
        """Return the address for invoices. `.example` domains never receive mail."""
        return f"accounts@{self.key}.example"


def _parse(row: str) -> DemoCustomer:
    key, name, address, plan, month, units, growth, use, pays = (cell.strip() for cell in row.split("|"))
    lines = "\n".join(part.strip() for part in address.split(";"))
    return DemoCustomer(key, name, lines, plan, int(month), int(units), float(growth), use, pays)


CUSTOMERS = tuple(_parse(row) for row in _TABLE.strip().splitlines()[1:])


# Customers whose contract starts on the day on which they join, not on the first of the month.
MID_MONTH_STARTS = ("hearthhound", "roamwell", "summit")


class Move(NamedTuple):
    """A change of plan, or a cancellation, from a day of `month` on. It is entered in the month before."""

    key: str
    month: int
    plan: str | None
    day: int = 1


MOVES = (
    Move("dashpantry", 7, "Growth"),
    Move("stayfinch", 8, "Growth", day=16),
    Move("parcelwren", 9, "Growth"),
    Move("pedalpost", 9, "Growth"),
    Move("kestrel", 10, "Growth"),
    Move("marlowe", 12, "Growth"),
    Move("beaconride", 13, "Scale"),
    Move("urbanquill", 8, None),
    Move("sprocket", 11, None),
    Move("littlefjord", 13, None),
)

# Contracts that are entered in the middle of their second month. Their first month is invoiced immediately.
BACKDATED = ("copperkettle", "lumiere", "oakline", "saffron", "vantor", "ninepin")


class Pause(NamedTuple):
    """A suspension from a day of a month to a later day of that month, or until today."""

    key: str
    month: int
    first_day: int
    last_day: int | None


PAUSES = (Pause("alpenroute", 7, 8, 15), Pause("ridgeway", 11, 12, None))


class Outage(NamedTuple):
    """The last `days` of a month whose usage arrives `delay` days after the end of the month."""

    key: str
    month: int
    days: int
    delay: int


OUTAGES = (
    Outage("hollisvane", 1, 4, 3),
    Outage("halcyon", 3, 2, 4),
    Outage("nordlicht", 4, 5, 6),
    Outage("parcelwren", 5, 3, 40),
    Outage("urbanquill", 7, 3, 5),
    Outage("everline", 8, 1, 3),
    Outage("zephyr", 9, 3, 3),
    Outage("nordlicht", 10, 3, 4),
    Outage("orbital", 10, 2, 5),
    Outage("clover", 11, 3, 2),
    Outage("wayfare", 11, 4, 4),
)

# From this month on, no invoice is paid.
STOPPED_PAYING = {"ridgeway": 6, "urbanquill": 7, "sprocket": 9, "fernhollow": 10, "copperkettle": 11}
# Single invoices that stay unpaid because they are disputed.
DISPUTED = {
    ("lumiere", 6), ("oakline", 7), ("saffron", 8), ("vantor", 9), ("everline", 9), ("casalimon", 8),
}  # fmt: skip


class Returned(NamedTuple):
    """A payment that is reversed, and after how many days it is paid again, if ever."""

    key: str
    month: int
    reason: str
    again_after: int | None


RETURNED = (
    Returned("dashpantry", 5, "Returned by the bank: R01, insufficient funds", 16),
    Returned("tablebird", 8, "Recorded on the wrong customer. It was for Copperkettle.", 21),
    Returned("roamwell", 9, "Card charge disputed by the cardholder", None),
)

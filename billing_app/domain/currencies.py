"""ISO 4217: the currencies in use and the number of decimals of each one's minor unit.

Source: ISO 4217 list one (active codes of national currencies). Funds codes, precious metals and
test codes are left out: nobody is invoiced in them.
"""

from __future__ import annotations

from billing_app.domain.rules import BrokenRule

DEFAULT_EXPONENT = 2

_OTHER_EXPONENTS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

_TWO_DECIMALS = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL
HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT
MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB
SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH
USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
"""

EXPONENTS: dict[str, int] = {
    **dict.fromkeys(_TWO_DECIMALS.split(), DEFAULT_EXPONENT),
    **{code: digits for digits, codes in _OTHER_EXPONENTS.items() for code in codes.split()},
}


def exponent(currency: str) -> int:
    """The decimals of the currency's minor unit: USD 2, JPY 0, KWD 3.

    Raises ValueError for anything that is not an ISO 4217 code in capitals.
    """
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise BrokenRule("not_a_currency") from None

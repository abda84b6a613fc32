"""ISO 4217: the currencies in use, and how many decimals each has.

Source: ISO 4217 list one (active codes of national currencies). It leaves out funds codes, precious
metals and test codes, because no customer is invoiced in them.
"""

from __future__ import annotations

from billing_app.domain.rules import BrokenRule

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
    **dict.fromkeys(_TWO_DECIMALS.split(), 2),
    **{code: digits for digits, codes in _OTHER_EXPONENTS.items() for code in codes.split()},
}


def exponent(currency: str) -> int:
    """Return the number of decimals of a currency: USD 2, JPY 0, KWD 3.

    Raises BrokenRule for anything but an ISO 4217 code in capitals.
    """
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise BrokenRule("not_a_currency") from None

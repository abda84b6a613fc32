"""The places that a user has signed in from: browsers, known by a token in a cookie, and network addresses.

`sign_in_attempts` describes how they are used. Only hashes are stored.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.services.shared.permissions import require

FORGOTTEN_AFTER = timedelta(days=90)
PLACES_PER_USER_MAX = 20
_BROWSER_TOKEN = re.compile(r"[\w-]{32}", re.ASCII)

_FIND = text("""
    SELECT k.place FROM known_place k JOIN user_account u USING (user_id)
     WHERE u.email_key = :email_key AND k.place = ANY(:places) AND k.last_used_at > :since
""")
_IS_BROWSER_KNOWN = text("SELECT EXISTS (SELECT FROM known_place WHERE place = :place)")
_REMEMBER = text("""
    INSERT INTO known_place AS k (user_id, place, last_used_at)
    SELECT :user_id, place, :now FROM unnest(CAST(:places AS text[])) AS place
    ON CONFLICT (user_id, place) DO UPDATE SET last_used_at = greatest(k.last_used_at, :now)
""")
_FORGET = text("""
    DELETE FROM known_place
     WHERE user_id = :user_id
       AND (last_used_at <= :since OR place NOT IN (
               SELECT place FROM known_place WHERE user_id = :user_id
                ORDER BY last_used_at DESC, place LIMIT :at_most))
""")


class Place(NamedTuple):
    """Where an attempt comes from, and which parts of it are known.

    `place` is the hash of the browser's token when the user signed in with that browser before, and
    `address` otherwise.
    """

    address: str
    place: str
    is_known: bool
    is_known_browser: bool


def find_place(session: Session, actor: Actor, *, email_key: str, address: str, browser_token: str) -> Place:
    """Return the place of an attempt to use the account's password.

    A single query, which takes the same time whether the account exists or not.
    """
    require(actor, Permission.IDENTITY)
    from_address, from_browser = hash_address(address), _hash_browser(browser_token)
    given = {"email_key": email_key, "places": [from_address, from_browser]}
    known = set(session.scalars(_FIND, {**given, "since": now(session) - FORGOTTEN_AFTER}))
    if from_browser in known:
        return Place(from_address, from_browser, is_known=True, is_known_browser=True)
    return Place(from_address, from_address, is_known=from_address in known, is_known_browser=False)


def remember_place(session: Session, actor: Actor, *, user_id: int, address: str, browser_token: str) -> str:
    """Remember where the user signed in from, and return the token to store in the browser.

    A browser that already has a token keeps it, so that several users can share a browser. The user's row
    must be locked, so that two concurrent sign-ins don't deadlock.
    """
    require(actor, Permission.IDENTITY)
    place = _hash_browser(browser_token)
    if not session.scalar(_IS_BROWSER_KNOWN, {"place": place}):
        browser_token = secrets.token_urlsafe(24)
        place = _hash_browser(browser_token)
    places = [place, hash_address(address)] if address else [place]
    moment = now(session)
    session.execute(_REMEMBER, {"user_id": user_id, "places": places, "now": moment})
    session.execute(
        _FORGET, {"user_id": user_id, "since": moment - FORGOTTEN_AFTER, "at_most": PLACES_PER_USER_MAX}
    )
    return browser_token


def hash_address(address: str) -> str:
    """Return the hash of an address. All IPv6 addresses in one /64 have the same hash."""
    return _hash(f"address:{_network(address)}")


def _hash_browser(browser_token: str) -> str:
    return _hash(f"browser:{browser_token}") if _BROWSER_TOKEN.fullmatch(browser_token) else ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.IPv6Address(int(ip) >> 64 << 64))

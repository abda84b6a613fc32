"""Attacks on session tokens over HTTP: each gets a 401 with the same code, never a 500."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from billing_app.database.session import Database
from billing_app.domain.actor import SYSTEM, Role
from billing_app.services.identity import api_tokens, users
from billing_app.services.identity.rows import UserRow
from billing_app.web import SESSION_COOKIE
from tests.conftest import Clock
from tests.factories import PASSWORD, make_user
from tests.runtimes import authenticator

Claims = dict[str, Any]
ME = "/api/v1/auth/me"
# The secret in tests/api/conftest.py.
SECRET = b"a secret of thirty-two bytes, or more"
HEADER = {"alg": "HS256", "typ": "JWT"}
# An attacker's own RSA key.
RSA_N = int(
    "e8149bbbedd0552f2c34736e79176586e9bb30053f23cb46391feb64d0acbc8a3208bec123e6e595fe2eca1727ee555d"
    "53fd29410241e0d9f67a35181fb2240fd3bcb27800c16e6d84218a59c3dea4e2a59d552f7969fe8f485d121124ad2745"
    "c969c12d0735ae6b79d98fe53836ec830fcc5802d260180c0f9077da49b15bf7",
    16,
)
RSA_D = int(
    "702be5c9c37bfa703e716b896dc5bd30a42ff159d7d6b91d4be6fda350a8ecc7eebf0353dec26f1d3c29e94b9fe53625"
    "51befefd88d5c69412e9a657ee99ef8b3afd2bdf42533c655df98b011d688ce1f497781a8c3fdf0fed46ddeaa19a7eba"
    "9382c5a438bb91b30d3e943779e373b506aef75013373250d8048a17e56005a1",
    16,
)
PUBLIC_KEY = b"""-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDoFJu77dBVLyw0c255F2WG6bsw
BT8jy0Y5H+tk0Ky8ijIIvsEj5uWV/i7KFyfuVV1T/SlBAkHg2fZ6NRgfsiQP07yy
eADBbm2EIYpZw96k4qWdVS95af6PSF0SESStJ0XJacEtBzWua3nZj+U4NuyDD8xY
AtJgGAwPkHfaSbFb9wIDAQAB
-----END PUBLIC KEY-----
"""


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def by_hmac(key: bytes, digest: Any = hashlib.sha256) -> Callable[[bytes], bytes]:
    return lambda signed: hmac.new(key, signed, digest).digest()


def by_rsa(signed: bytes) -> bytes:
    """RS256: PKCS #1 v1.5 over SHA-256."""
    info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(signed).digest()
    padded = b"\0\1" + b"\xff" * (128 - 3 - len(info)) + b"\0" + info
    return pow(int.from_bytes(padded, "big"), RSA_D, RSA_N).to_bytes(128, "big")


OURS = by_hmac(SECRET)


def made(header: object, payload: object, sign: Callable[[bytes], bytes] = OURS) -> str:
    """Build a token by hand, including tokens that a library would refuse to build."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signed = ".".join(map(b64, parts))
    return f"{signed}.{b64(sign(signed.encode()))}"


def headed(**more: Any) -> Callable[[Claims], str]:
    """Build a token that is signed with our secret but has another header."""
    return lambda claims: made(HEADER | more, claims)


def claiming(**changes: Any) -> Callable[[Claims], str]:
    """Build a token that is signed with our secret but has other claims. A claim that is None is left out."""
    return lambda claims: made(HEADER, {k: v for k, v in (claims | changes).items() if v is not None})


def edited(**changes: Any) -> Callable[[Claims], str]:
    """Build a token with changed claims and the original signature."""

    def edit(claims: Claims) -> str:
        head, _, signature = made(HEADER, claims).split(".")
        return f"{head}.{b64(json.dumps(claims | changes).encode())}.{signature}"

    return edit


def algorithm(name: object, sign: Callable[[bytes], bytes]) -> Callable[[Claims], str]:
    return lambda claims: made({"alg": name, "typ": "JWT"}, claims, sign)


def nothing(signed: bytes) -> bytes:
    return b""


# Each of these is built from the claims of a valid token. usr_1 is another user.
ATTACKS: dict[str, Callable[[Claims], str]] = {
    **{f"alg {name}": algorithm(name, nothing) for name in ("none", "None", "NONE", "nOnE", "", None, 0)},
    "alg none, signed": algorithm("none", by_hmac(SECRET)),
    "no alg": lambda claims: made({"typ": "JWT"}, claims),
    "HS256 by another key": algorithm("HS256", by_hmac(b"another secret of thirty-two bytes, or more")),
    "HS256 by an empty key": algorithm("HS256", by_hmac(b"")),
    "hs256": algorithm("hs256", by_hmac(SECRET)),
    "HS384": algorithm("HS384", by_hmac(SECRET, hashlib.sha384)),
    "HS512": algorithm("HS512", by_hmac(SECRET, hashlib.sha512)),
    "HS256 by a public key": algorithm("HS256", by_hmac(PUBLIC_KEY)),
    "HS256 by a public key, called RS256": algorithm("RS256", by_hmac(PUBLIC_KEY)),
    "HS256 by our secret, called RS256": algorithm("RS256", by_hmac(SECRET)),
    "RS256": algorithm("RS256", by_rsa),
    "RS256 with its key": lambda claims: made(
        {"alg": "RS256", "typ": "JWT", "jwk": {"kty": "RSA", "e": "AQAB", "n": b64(RSA_N.to_bytes(128, "big"))}},
        claims,
        by_rsa,
    ),
    "RS256, called HS256": algorithm("HS256", by_rsa),
    "not signed": lambda claims: made(HEADER, claims, nothing),
    "two signatures": lambda claims: made(HEADER, claims) + "." + b64(b"x" * 32),
    "crit": headed(crit=["exp"]),
    "b64": headed(b64=False, crit=["b64"]),
    "kid": headed(kid="../../../../dev/null"),
    "jku": headed(jku="https://attacker.example/keys.json"),
    "cty": headed(cty="JWT"),
    "zip": headed(zip="DEF"),
    "typ JWE": headed(typ="JWE"),
    "edited sub": edited(sub="usr_1"),
    "edited exp": edited(exp=4_000_000_000),
    "expired": lambda claims: claiming(exp=claims["iat"])(claims),
    "exp text": lambda claims: claiming(exp=str(claims["exp"]))(claims),
    "exp a fraction": lambda claims: claiming(exp=claims["exp"] + 0.5)(claims),
    "exp true": claiming(exp=True),
    "exp infinite": lambda claims: made(HEADER, json.dumps(claims | {"exp": float("inf")}).encode()),
    "exp beyond all numbers": lambda claims: made(HEADER, json.dumps(claims | {"exp": 10**600}).encode()),
    "iat ahead": lambda claims: claiming(iat=claims["iat"] + 3600)(claims),
    "iat text": claiming(iat="now"),
    "nbf ahead": lambda claims: claiming(nbf=claims["iat"] + 3600)(claims),
    "nbf text": claiming(nbf="now"),
    **{f"no {name}": claiming(**{name: None}) for name in ("sub", "sid", "iat", "exp", "iss", "aud")},
    "aud another": claiming(aud="another"),
    "aud a list": claiming(aud=["tallybook"]),
    "aud a list of two": claiming(aud=["another", "tallybook"]),
    "aud empty": claiming(aud=[]),
    "iss another": claiming(iss="another"),
    "iss a list": claiming(iss=["tallybook"]),
    "sub a number": lambda claims: claiming(sub=int(claims["sub"].removeprefix("usr_")))(claims),
    "sub another user's": claiming(sub="usr_1"),
    "unknown sub": claiming(sub="usr_999999999999999999"),
    "sub beyond all numbers": claiming(sub="usr_" + "9" * 400),
    "sub with NUL": lambda claims: claiming(sub=claims["sub"] + "\0")(claims),
    "sid another": claiming(sid="another"),
    "sid empty": claiming(sid=""),
    "sid with NUL": lambda claims: claiming(sid=claims["sid"] + "\0")(claims),
    "sid half a surrogate pair": claiming(sid="\ud800"),
    "sid of 10,000 characters": claiming(sid="x" * 10_000),
    "sid a number": claiming(sid=1),
    "sid a list": lambda claims: claiming(sid=[claims["sid"]])(claims),
    "sid the SQL it is looked up with": claiming(sid="' OR ''='"),
    "header no object": lambda claims: made([HEADER], claims),
    "header nested beyond reason": lambda claims: made(b'{"alg":' + b"[" * 60_000, claims),
    "header nested as far as it may be": lambda claims: f"{b64(b'[' * 600)}.e30.x",
    "header not UTF-8": lambda claims: made(b"\xff\xfe", claims),
    "payload no object": lambda claims: made(HEADER, [claims]),
    "payload null": lambda claims: made(HEADER, None),
    "payload empty": lambda claims: made(HEADER, b""),
    "payload not UTF-8": lambda claims: made(HEADER, b"\xff\xfe"),
    "payload nested": lambda claims: made(HEADER, b"[" * 500),
    "five parts, as a JWE has": lambda claims: ".".join([b64(b'{"alg":"dir","enc":"A256GCM"}'), "", "x", "x", "x"]),
    "two parts": lambda claims: made(HEADER, claims).rpartition(".")[0],
    "one part": lambda claims: "token",
    "dots": lambda claims: "....",
    "huge": lambda claims: made(HEADER, claims | {"more": "x" * 30_000}),
    "not ASCII": lambda claims: made(HEADER, claims) + "é",
    "beyond the plane": lambda claims: "\U0001f600." * 3,
    "with a character that base64 passes over": lambda claims: made(HEADER, claims) + "!",
    "with a tab": lambda claims: made(HEADER, claims).replace(".", ".\t", 1),
    "padded": lambda claims: made(HEADER, claims) + "=",
    "the session's id": lambda claims: str(claims["sid"]),
    "null": lambda claims: "null",
    "empty": lambda claims: "",
}  # fmt: skip


@pytest.fixture
def other(anonymous: TestClient, database: Database) -> UserRow:
    """usr_1, an admin."""
    user = make_user(database)
    assert user.public_id == "usr_1"
    return user


@pytest.fixture
def user(other: UserRow, database: Database) -> UserRow:
    return make_user(database, Role.BILLING)


@pytest.fixture
def token(user: UserRow) -> str:
    return authenticator().sign_in(user.email, PASSWORD, user_agent="test", address="test").token


@pytest.fixture
def claims(token: str) -> Claims:
    found: Claims = json.loads(unb64(token.split(".")[1]))
    return found


def ask(
    client: TestClient, *headers: tuple[str, str], method: str = "GET", path: str = ME, **body: Any
) -> Any:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return client.request(method, path, headers=raw, **body)


def bearer(token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


def assert_refused(answer: Any) -> None:
    assert answer.status_code == 401, answer.text
    assert answer.json()["code"] == "invalid_token"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.text) < 300


def test_valid_handmade_token_is_accepted(
    anonymous: TestClient, user: UserRow, token: str, claims: Claims
) -> None:
    by_hand = made(HEADER, claims)
    assert unb64(by_hand.split(".")[0]) == json.dumps(HEADER).encode()
    for good in (token, by_hand, claiming(nbf=claims["iat"])(claims)):
        assert ask(anonymous, bearer(good)).json()["id"] == user.public_id
        assert ask(anonymous, ("Cookie", f"{SESSION_COOKIE}={good}")).json()["id"] == user.public_id
    assert by_rsa(b"x") != by_rsa(b"y")
    assert pow(int.from_bytes(by_rsa(b"x"), "big"), 65537, RSA_N) & 0xFF == hashlib.sha256(b"x").digest()[-1]


def test_forged_token_is_rejected(anonymous: TestClient, claims: Claims, subtests: pytest.Subtests) -> None:
    for attack, forge in ATTACKS.items():
        with subtests.test(attack=attack):
            forged = forge(claims)
            assert_refused(ask(anonymous, bearer(forged)))
            assert_refused(ask(anonymous, ("Cookie", f"{SESSION_COOKIE}={forged}")))


def test_session_of_one_user_with_the_id_of_another_is_rejected(
    anonymous: TestClient, other: UserRow, claims: Claims
) -> None:
    theirs = authenticator().sign_in(other.email, PASSWORD, user_agent="", address="").token
    of_other = json.loads(unb64(theirs.split(".")[1]))
    assert ask(anonymous, bearer(made(HEADER, of_other))).json()["id"] == other.public_id
    assert_refused(ask(anonymous, bearer(made(HEADER, claims | {"sid": of_other["sid"]}))))
    assert_refused(ask(anonymous, bearer(made(HEADER, claims | {"sub": of_other["sub"]}))))


def test_token_edited_anywhere_is_rejected(anonymous: TestClient, token: str) -> None:
    # Not the last character, because two of its bits are padding.
    for place in range(0, len(token) - 1, 7):
        letter = "A" if token[place] != "A" else "B"
        assert_refused(ask(anonymous, bearer(token[:place] + letter + token[place + 1 :])))


@pytest.mark.parametrize("scheme", ["Basic", "Token", "JWT", "Digest", "Bearer:", "", "Négotiate"])
def test_other_authentication_schemes_are_rejected(anonymous: TestClient, token: str, scheme: str) -> None:
    assert_refused(ask(anonymous, ("Authorization", f"{scheme} {token}".strip())))


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Bearer  ", "bearer ", "", ",", "Bearer null"])
def test_empty_bearer_token_is_rejected_even_with_a_valid_cookie(
    anonymous: TestClient, token: str, value: str
) -> None:
    assert_refused(ask(anonymous, ("Authorization", value)))
    if value.lower().startswith("bearer"):
        assert_refused(ask(anonymous, ("Authorization", value), ("Cookie", f"{SESSION_COOKIE}={token}")))


def test_authentication_scheme_ignores_case(anonymous: TestClient, token: str) -> None:
    assert ask(anonymous, ("authorization", f"bEARER  {token}")).status_code == 200


def test_two_joined_tokens_are_rejected(anonymous: TestClient, token: str) -> None:
    bad = token[:-4] + "AAAA"
    assert_refused(ask(anonymous, bearer(bad), bearer(token)))
    assert_refused(ask(anonymous, bearer(f"{token}, Bearer {token}")))


def test_token_is_valid_until_it_expires(
    anonymous: TestClient, claims: Claims, token: str, clock: Clock
) -> None:
    started = clock.moment
    clock.moment = started + timedelta(hours=12, seconds=-1)
    assert ask(anonymous, bearer(token)).status_code == 200
    clock.moment = started + timedelta(hours=12)
    assert_refused(ask(anonymous, bearer(token)))
    assert_refused(ask(anonymous, bearer(claiming(exp=claims["exp"] + 3600)(claims))))


def test_server_clocks_can_differ_by_a_quarter_of_an_hour(
    anonymous: TestClient, token: str, clock: Clock
) -> None:
    started = clock.moment
    clock.moment = started - timedelta(minutes=15)
    assert ask(anonymous, bearer(token)).status_code == 200
    clock.moment = started - timedelta(minutes=15, seconds=1)
    assert_refused(ask(anonymous, bearer(token)))


def test_signing_out_ends_the_session_for_every_holder_of_its_token(
    anonymous: TestClient, token: str
) -> None:
    assert ask(anonymous, bearer(token), method="DELETE", path="/api/v1/auth/session").status_code == 204
    assert_refused(ask(anonymous, bearer(token)))
    assert_refused(ask(anonymous, ("Cookie", f"{SESSION_COOKIE}={token}")))
    assert_refused(ask(anonymous, bearer(token), method="DELETE", path="/api/v1/auth/session"))


def test_disabled_user_is_rejected_from_the_next_request_on(
    anonymous: TestClient, database: Database, user: UserRow, token: str
) -> None:
    for status in ("disabled", "active"):
        with database.transaction(SYSTEM) as session:
            users.update_user(session, SYSTEM, user.user_id, status=status)
        assert_refused(ask(anonymous, bearer(token)))


def test_demoted_user_loses_permissions_at_the_next_request(
    anonymous: TestClient, database: Database, user: UserRow, token: str
) -> None:
    plan = {"name": "Team", "monthly_price": "29.00", "included_units": "1", "overage_unit_price": "1"}

    def write() -> Any:
        return ask(anonymous, bearer(token), method="POST", path="/api/v1/plans", json=plan)

    assert write().status_code == 201
    with database.transaction(SYSTEM) as session:
        users.update_user(session, SYSTEM, user.user_id, role="finance")
    assert (write().status_code, write().json()["code"]) == (403, "forbidden")
    assert ask(anonymous, bearer(token)).json()["role"] == "finance"


def test_api_token_is_rejected_as_a_cookie(anonymous: TestClient, database: Database, other: UserRow) -> None:
    with database.transaction(SYSTEM) as session:
        machine = api_tokens.create_token(session, SYSTEM, name="Reports", scopes=["read"]).token
    assert ask(anonymous, bearer(machine), path="/api/v1/plans").status_code == 200
    cookie = ("Cookie", f"{SESSION_COOKIE}={machine}")
    assert_refused(ask(anonymous, cookie, path="/api/v1/plans"))
    assert_refused(ask(anonymous, cookie))


def test_repeated_session_cookie_is_rejected(anonymous: TestClient, token: str) -> None:
    assert_refused(ask(anonymous, ("Cookie", f"{SESSION_COOKIE}={token}; {SESSION_COOKIE}=x")))

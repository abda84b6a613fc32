"""What every answer says about itself: what it may load, who may frame it, that it is not kept."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection

from billing_app.api.wire import docs
from billing_app.web import is_https

_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# Styles are as free as they are because emotion (Reflex) and sonner (the toasts) make style elements
# while they run. There is nowhere for a style to send anything: all it may load is from here.
# 'self' covers the websocket too, behind https as well.
_PAGES = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_DOCS = f"{_NOTHING}; img-src 'self'; style-src {{style}}"
_UNUSED = (
    *("accelerometer", "autoplay", "camera", "display-capture", "encrypted-media"),
    *("fullscreen", "gamepad", "geolocation", "gyroscope", "hid", "idle-detection", "local-fonts"),
    *("magnetometer", "microphone", "midi", "payment", "picture-in-picture", "publickey-credentials-get"),
    *("screen-wake-lock", "serial", "storage-access", "usb", "xr-spatial-tracking"),
)
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _UNUSED),
    # Otherwise the server names itself.
    "Server": "tallybook",
}
_ONE_YEAR = "max-age=31536000; includeSubDomains"


class SafeHeaders:
    """ASGI middleware around everything: each answer, errors and files included, carries them.

    A page runs the scripts that were built and no other: those in the HTML files of `build` are
    known by their hashes. No answer allows another origin anything, whatever is within said. An
    answer of the API is not stored anywhere unless it says otherwise itself.
    """

    def __init__(self, app: Any, build: Path) -> None:
        self.app = app
        scripts = {_hash(script) for page in build.rglob("*.html") for script in _scripts(page.read_text())}
        self._pages = _PAGES.format(scripts=" ".join(sorted(scripts)))
        self._docs = _DOCS.format(style=_hash(docs.STYLE))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request; websockets and the lifespan pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._add_to(MutableHeaders(scope=message), scope, message["status"])
            await send(message)

        await self.app(scope, receive, with_headers)

    def _add_to(self, headers: MutableHeaders, scope: Any, status: int) -> None:
        # Starlette's CORS, which Reflex puts around everything, says some even to nobody.
        for name in [name for name in headers if name.startswith("access-control-")]:
            del headers[name]
        headers.update(_ALWAYS)
        of_api = f"{scope['path']}/".startswith("/api/")
        if of_api:
            headers.setdefault("Cache-Control", "no-store")
        policy = _NOTHING
        # A page that has not changed comes without its type, and takes on these headers.
        if status == 304 or headers.get("content-type", "").startswith("text/html"):
            policy = self._docs if of_api else self._pages
        headers.setdefault("Content-Security-Policy", policy)
        if is_https(HTTPConnection(scope)):
            headers["Strict-Transport-Security"] = _ONE_YEAR


class _InlineScripts(HTMLParser):
    """Gathers the scripts that stand in the page itself."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script" and "src" not in dict(attrs)
        if self._inside:
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = False


def _scripts(page: str) -> list[str]:
    parser = _InlineScripts()
    parser.feed(page)
    parser.close()
    return parser.texts


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

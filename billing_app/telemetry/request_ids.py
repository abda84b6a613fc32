"""The id of the request that is being answered, which every log line about it carries.

It follows the request into threads, because asyncio and anyio copy the context there.
"""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar
from itertools import count

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")

_WELL_FORMED = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
# Unique among all processes without a call to the operating system for each request.
_PROCESS = secrets.token_hex(6)
_numbers = count(1)


def choose_request_id(sent: bytes) -> str:
    """Return the id that the caller sent if it is well-formed, otherwise a new one."""
    if sent and _WELL_FORMED.fullmatch(sent):
        return sent.decode("ascii")
    return f"{_PROCESS}-{next(_numbers):x}"

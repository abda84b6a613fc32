from __future__ import annotations

import pytest

from billing_app.state.kit.programs import describe_program

MOZILLA = "Mozilla/5.0"


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (f"{MOZILLA} (Windows NT 10.0; Win64; x64) Chrome/131.0 Safari/537.36 Edg/131.0", "Edge on Windows"),
        (f"{MOZILLA} (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36", "Chrome on Linux"),
        (f"{MOZILLA} (Macintosh; Intel Mac OS X 10_15_7) Version/18.1 Safari/605.1", "Safari on macOS"),
        (
            f"{MOZILLA} (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Safari/604.1",
            "Safari on iPhone",
        ),
        (f"{MOZILLA} (Android 15; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0", "Firefox on Android"),
        ("Firefox/133.0", "Firefox"),
        ("curl/8.5.0", "curl"),
        ("a" * 300, "a" * 40),
        ("", "Unknown"),
    ],
)
def test_session_is_named_after_browser_and_system(user_agent: str, name: str) -> None:
    assert describe_program(user_agent) == name

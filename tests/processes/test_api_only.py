"""`billing serve --api-only`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx

from billing_app.database.embedded import cluster
from tests.conftest import new_database
from tests.processes.conftest import Business
from tests.processes.servers import command, environment_of, serving_api


def test_api_is_served_without_pages_and_without_loading_reflex(business: Business, tmp_path: Path) -> None:
    with serving_api(business.urls, tmp_path) as server:
        assert httpx.get(f"{server.url}/api/openapi.json").status_code == 200
        for path in ("/", "/login", "/_event/", "/ping"):
            answer = httpx.get(server.url + path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        # Its own data directory is not needed, since nothing is kept there.
        assert not (tmp_path / f"data-{server.url.rpartition(':')[2]}").exists()
    script = "import sys, billing_app.server.api_only; sys.exit(any(each.startswith('reflex') for each in sys.modules))"
    assert subprocess.run([*command()[:2], script]).returncode == 0


def test_server_of_a_shared_database_refuses_to_start_without_the_secret(
    server: cluster.Server, tmp_path: Path
) -> None:
    with new_database(server) as urls:
        done = subprocess.run(
            command("serve", "--api-only"),
            env=environment_of(urls, tmp_path, BILLING_JWT_SECRET=""),
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("billing: BILLING_JWT_SECRET is not set.")

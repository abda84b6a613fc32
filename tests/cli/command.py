"""Run the `billing` command as a separate process on a test's database."""

from __future__ import annotations

import os
import subprocess
import sys

from billing_app.database.provision import Urls


def run_billing(urls: Urls, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command and wait for it to end; `environment` adds settings."""
    return subprocess.run(
        [sys.executable, "-m", "billing_app.cli", *arguments],
        env={
            **os.environ,
            "DATABASE_URL": urls.application,
            "DATABASE_OWNER_URL": urls.owner,
            "COLUMNS": "200",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )

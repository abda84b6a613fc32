"""What a wheel has beyond the Python package: the migrations, Reflex's configuration and the built pages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Names the directory of the built pages; tools/wheel.py sets it.
PAGES = "TALLYBOOK_BUILT_PAGES"
# See billing_app/project_files.py, which finds them there.
BUNDLE = "billing_app/bundle"
FILES = ("alembic", "alembic.ini", "rxconfig.py")


class WheelContents(BuildHookInterface):  # type: ignore[misc]
    """Adds the files to a wheel. An editable installation uses those of the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files, or refuse to build a wheel without pages."""
        if version == "editable":
            return
        pages = os.environ.get(PAGES)
        if not pages:
            raise RuntimeError("The wheel contains the built pages. Build it with `make wheel`.")
        root = Path(self.root)
        included = {str(root / name): f"{BUNDLE}/{name}" for name in FILES}
        build_data["force_include"].update({**included, pages: f"{BUNDLE}/pages"})

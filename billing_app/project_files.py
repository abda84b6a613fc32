"""Where the files are that belong to the project but are not Python modules.

In a checkout they lie at its root. A wheel has them inside the package, next to the built pages
(tools/wheel.py puts them there), so an installation needs no checkout and builds nothing.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_IN_WHEEL = _PACKAGE / "bundle"

IS_WHEEL = _IN_WHEEL.is_dir()
"""Whether this was installed from a wheel."""

ROOT = _IN_WHEEL if IS_WHEEL else _PACKAGE.parent
"""The directory of `alembic.ini`, `alembic` and `rxconfig.py`."""

BUILT_PAGES = _IN_WHEEL / "pages"
"""The pages that a wheel brings along."""

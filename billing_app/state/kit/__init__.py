"""Building blocks of page states: the session, forms, lists and texts."""

"""The error for a database that an operator has to fix first."""


class DatabaseUnusable(Exception):
    """The database can't be used as it is. The message says why and what to do."""

"""What an operator must change before the database can be used."""


class DatabaseUnusable(Exception):
    """The database can't be used as it is. The message is a sentence that says why and what to do."""

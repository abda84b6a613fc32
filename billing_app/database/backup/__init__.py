"""Backups: one file with a dump of the database and a manifest of what the dump must contain."""

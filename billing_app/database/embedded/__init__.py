"""The embedded PostgreSQL: a private server that runs while a process uses it."""

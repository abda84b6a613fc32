"""The database: sessions, locks, migrations, privileges, and the embedded PostgreSQL."""

"""Usage files: their upload, their import, and their rejected rows."""

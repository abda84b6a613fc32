"""Jobs that take several transactions: closing and invoicing, runs, imports, verification."""

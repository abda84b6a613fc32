"""Work of several transactions: closing and invoicing, runs, imports, verification."""

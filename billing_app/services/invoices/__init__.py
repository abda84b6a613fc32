"""Invoices: closing periods, charging them, and reading the result."""

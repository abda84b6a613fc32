"""Invoices: closing a period, charging it, and reading what was charged."""

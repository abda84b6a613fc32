"""Payments received against invoices, and their reversals."""

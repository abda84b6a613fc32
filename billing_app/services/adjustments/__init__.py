"""Discounts and one-off items: what changes a customer's bills apart from plans and usage."""

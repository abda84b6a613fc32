"""Customers, their subscriptions and their suspensions."""

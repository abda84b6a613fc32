"""Imports of usage files, and their rejected rows."""

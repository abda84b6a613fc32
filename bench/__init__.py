"""Measures the product, as ratios to the bare database in the same run."""

"""What the product reaches, measured as ratios to the bare database in the same run."""

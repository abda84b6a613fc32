"""What users see: components as functions of state vars. They use states, never services."""

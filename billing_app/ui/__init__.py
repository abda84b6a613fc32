"""What a person sees: functions of state vars. They know states, never services."""

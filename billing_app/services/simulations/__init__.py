"""Price simulations: what a month would have cost under other terms."""

"""Plans: named prices in versions whose terms never change."""

"""A long test of real servers under load, with a fault in every round."""

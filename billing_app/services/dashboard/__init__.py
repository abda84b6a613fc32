"""Figures that are counted in the background for the dashboard and for sorting lists."""

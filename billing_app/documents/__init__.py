"""Papers that leave the house, and the words and figures that they share with the pages."""

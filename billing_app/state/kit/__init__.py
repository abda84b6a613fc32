"""What every page state uses: the session, forms, lists and texts."""

"""What is sent to browsers: frozen rows of strings, built from what services return."""

"""The states of the pages: read the address, call services, show rows."""

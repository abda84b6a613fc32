"""One state per page: read the address, call services, show rows."""

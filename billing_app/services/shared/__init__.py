"""Building blocks that the services share: permissions, validation, ids, pagination, audit entries."""

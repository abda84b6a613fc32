"""What every service needs: permissions, validation, ids, pages, and the audit entry."""

"""Reading the audit log; `services.shared.audit` writes it."""

"""Why a backup can't be made or restored."""


class BackupUnusable(RuntimeError):
    """A backup can't be made or restored. The message is a sentence that says why and what to do."""

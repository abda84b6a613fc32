"""Users, sessions, passwords and API tokens: who may call, and how they prove who they are."""

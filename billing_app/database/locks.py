"""The keys of all advisory locks, in one place so that no two purposes share one."""

from __future__ import annotations

# Keys of 64 bits, unlikely to be used by other applications on the same database.
PROVISIONING = 0x7A11_B00C_0001
MIGRATING = 0x7A11_B00C_0002
GATE = 0x7A11_B00C_0003
DEMO = 0x7A11_B00C_0004
VERIFYING = 0x7A11_B00C_0005
COUNTING = 0x7A11_B00C_0006
CREATING_METER = 0x7A11_B00C_0007
SIMULATING = 0x7A11_B00C_0008

# The first of two keys of 32 bits. The second identifies the plan's name, the run or the import.
PLAN_NAME = 0x7A11_0001
RUN = 0x7A11_0002
IMPORT = 0x7A11_0003
IDEMPOTENCY_KEY = 0x7A11_0004
RUN_CANCELLATION = 0x7A11_0005

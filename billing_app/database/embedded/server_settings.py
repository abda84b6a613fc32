"""The settings of the embedded server, sized for this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PORT = 5432
_ROOM_FOR_LARGE_WAL_BYTES = 40 << 30


def server_settings(home: Path, socket_dir: Path) -> Iterator[tuple[str, str]]:
    """Yield the settings as command-line options, which take precedence over configuration files."""
    yield "listen_addresses", ""
    yield "unix_socket_directories", str(socket_dir)
    yield "unix_socket_permissions", "0700"
    yield "port", str(PORT)
    yield "timezone", "UTC"
    yield "log_timezone", "UTC"
    # Acknowledged data must be on disk.
    yield "fsync", "on"
    yield "synchronous_commit", "on"
    yield "full_page_writes", "on"
    yield "max_connections", "200"
    yield "max_wal_size", "4GB" if shutil.disk_usage(home).free > _ROOM_FOR_LARGE_WAL_BYTES else "1GB"
    # The application and the file cache use the same memory.
    megabytes = _memory_bytes() >> 20
    yield "shared_buffers", f"{_clamp(megabytes // 8, 128, 4096)}MB"
    yield "effective_cache_size", f"{_clamp(megabytes // 2, 256, 65536)}MB"
    yield "maintenance_work_mem", f"{_clamp(megabytes // 32, 64, 1024)}MB"
    yield "work_mem", f"{_clamp(megabytes // 768, 4, 64)}MB"
    yield "random_page_cost", "1.1"
    # The details of an error contain the values of rows, which don't belong in a log.
    yield "log_error_verbosity", "terse"
    yield "log_min_error_statement", "panic"
    # The queries are short: compiling them takes longer than running them.
    yield "jit", "off"


def _memory_bytes() -> int:
    """Return how much memory this machine has, or this container is allowed to use."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limits.append(int(Path("/sys/fs/cgroup", name).read_text()))
    return min(limits)


def _clamp(value: int, least: int, most: int) -> int:
    """Return the value, or the bound that it exceeds."""
    return max(least, min(value, most))

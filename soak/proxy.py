"""A proxy that passes bytes on, and cuts connections wherever it is told to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_PIECE_BYTES = 64 * 1024
_NEVER = 1 << 62


class Proxies:
    """Runs proxies on an event loop of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def tcp(self, to_port: int, chance: random.Random) -> Proxy:
        """Start a proxy of a port on loopback, on a free one."""
        proxy = Proxy(self._loop, lambda: asyncio.open_connection("127.0.0.1", to_port), chance)
        server = self._run(asyncio.start_server(proxy.serve, "127.0.0.1", 0))
        proxy.port = server.sockets[0].getsockname()[1]
        return proxy

    def unix(self, path: Path, to: Path, chance: random.Random) -> Proxy:
        """Start a proxy of a Unix socket."""
        proxy = Proxy(self._loop, lambda: asyncio.open_unix_connection(to), chance)
        self._run(asyncio.start_unix_server(proxy.serve, path))
        return proxy

    def _run(self, work: Awaitable[asyncio.Server]) -> asyncio.Server:
        async def run() -> asyncio.Server:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)


class Proxy:
    """Passes the bytes of every connection on. All that is set here applies from the next connection on."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connect: Callable[[], Awaitable[Streams]],
        chance: random.Random,
    ) -> None:
        self.port = 0
        self.is_away = False
        # If set, connections are cut after a random number of bytes, in either direction.
        self.cuts_within_bytes = 0
        self.cuts = 0
        self._loop, self._connect, self._chance = loop, connect, chance
        self._open: set[asyncio.StreamWriter] = set()

    def go_away(self) -> None:
        """Cut all connections, and refuse new ones until `come_back`."""
        self.is_away = True
        self.cut_all()

    def come_back(self) -> None:
        """Accept connections again."""
        self.is_away = False

    def cut_all(self) -> None:
        """Cut all open connections."""
        self._loop.call_soon_threadsafe(lambda: [each.transport.abort() for each in list(self._open)])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        try:
            if self.is_away:
                return
            there_reader, there_writer = await self._connect()
        except OSError:
            return
        else:
            ends = {writer, there_writer}
            self._open |= ends
            limits = self._choose_limits()
            pumps = [
                asyncio.create_task(self._pump(reader, there_writer, limits[0])),
                asyncio.create_task(self._pump(there_reader, writer, limits[1])),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(pumps, timeout=0.05)
            for pump in pumps:
                pump.cancel()
            self._open -= ends
            there_writer.transport.abort()
        finally:
            writer.transport.abort()

    def _choose_limits(self) -> tuple[int, int]:
        if not self.cuts_within_bytes:
            return _NEVER, _NEVER
        limit = int(self.cuts_within_bytes ** self._chance.random())
        return (limit, _NEVER) if self._chance.random() < 0.5 else (_NEVER, limit)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int) -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE_BYTES):
                writer.write(piece[:limit])
                await writer.drain()
                limit -= len(piece)
                if limit <= 0:
                    self.cuts += 1
                    return

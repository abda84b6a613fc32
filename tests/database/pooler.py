"""A connection pooler in transaction mode, with one connection to the server for all of its clients."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

READY = ord("Z")


def read_message(connection: socket.socket, head_bytes: int) -> bytes:
    """Read one message, whose length follows after `head_bytes` of type. Raises ConnectionError at the end."""
    head = read_exactly(connection, head_bytes + 4)
    (length,) = struct.unpack("!I", head[head_bytes:])
    return head + read_exactly(connection, length - 4)


def read_exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = connection.recv(size - len(found))
        if not piece:
            raise ConnectionError
        found += piece
    return found


def read_answer(server: socket.socket) -> bytes:
    """Read up to the message with which the server says that it is ready for the next query."""
    answer = b""
    while True:
        message = read_message(server, 1)
        answer += message
        if message[0] == READY:
            return answer


class Pooler:
    """Answers clients at a socket in `directory`, as the server at `server_path` does."""

    def __init__(self, server_path: str, directory: Path) -> None:
        self.server = socket.socket(socket.AF_UNIX)
        self.server.connect(server_path)
        self.turn = threading.Lock()
        self.greeting = b""
        self.clients: list[socket.socket] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(directory / ".s.PGSQL.5432"))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.clients.append(client)
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            startup = read_message(client, 0)
            with self.turn:
                if not self.greeting:
                    self.server.sendall(startup)
                    self.greeting = read_answer(self.server)
            client.sendall(self.greeting)
            while (sent := client.recv(65536)) and not sent.startswith(b"X"):
                with self.turn:
                    self.server.sendall(sent)
                    answer = read_answer(self.server)
                client.sendall(answer)

    def close(self) -> None:
        for each in (self.listener, self.server, *self.clients):
            each.close()


@contextmanager
def pooled(server_path: str, directory: Path) -> Iterator[str]:
    """Run a pooler until the block ends, and yield the host to connect to."""
    pooler = Pooler(server_path, directory)
    try:
        yield str(directory)
    finally:
        pooler.close()

"""A proxy between the product and PostgreSQL that cuts connections when a COMMIT passes.

Half of the cuts come before the COMMIT reaches the server, so that nothing is committed; half after the server has
committed and before its answer comes back, so that the client cannot know. Which COMMITs are cut is seeded.

Source: PostgreSQL documentation, "Frontend/Backend Protocol", message formats.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHUNK = 256 * 1024
_COMMIT = b"Q" + (11).to_bytes(4, "big") + b"COMMIT\0"


class CuttingProxy:
    """Listens on 127.0.0.1. `before` and `after` count the cuts, `commits` what passed or was cut.

    Args:
        target: the server's Unix socket.
        every: from how many to how many COMMITs lie between two cuts.
    """

    def __init__(self, target: Path, seed: int, every: tuple[int, int]) -> None:
        self.commits = self.before = self.after = 0
        self._target = target
        self._every = every
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._next_cut = self._random.randint(*every)
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Take no more connections; those that stand end with their clients."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        with client, server:
            try:
                server.connect(str(self._target))
            except OSError:  # the server is being restarted
                return
            pair = _Pair(client, server)
            answers = threading.Thread(target=pair.pass_answers, daemon=True)
            answers.start()
            try:
                for message in _messages(client):
                    cut = self._cut() if message == _COMMIT else None
                    if cut == "before":
                        break
                    pair.swallow = cut == "after"
                    server.sendall(message)
            except OSError:  # either side is gone
                pass
            if not pair.swallow:
                pair.close()
            answers.join()

    def _cut(self) -> str | None:
        """What becomes of the COMMIT that is just passing; None lets it through."""
        with self._lock:
            self.commits += 1
            if self.commits < self._next_cut:
                return None
            self._next_cut = self.commits + self._random.randint(*self._every)
            if self.before <= self.after:
                self.before += 1
                return "before"
            self.after += 1
            return "after"


class _Pair:
    """Two ends of one connection. `swallow`: the next answer is not passed on, and the connection ends."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client, self._server = client, server
        self.swallow = False

    def pass_answers(self) -> None:
        try:
            while answer := self._server.recv(_CHUNK):
                if self.swallow:
                    break
                self._client.sendall(answer)
        except OSError:  # either side is gone
            pass
        self.close()

    def close(self) -> None:
        """End both sides at once, also for a thread that is reading."""
        for end in (self._client, self._server):
            with suppress(OSError):  # was not connected any more
                end.shutdown(socket.SHUT_RDWR)


def _messages(client: socket.socket) -> Iterator[bytes]:
    """What the client sends, message by message; the first ones, until the session has begun, have no type byte."""
    held, begun = bytearray(), False
    while received := client.recv(_CHUNK):
        held += received
        while len(held) >= 5:
            length = int.from_bytes(held[1:5], "big") + 1 if begun else int.from_bytes(held[:4], "big")
            if len(held) < length:
                break
            message = bytes(held[:length])
            del held[:length]
            # Protocol 3.x; requests for encryption and cancellation carry other numbers here.
            begun = begun or message[4:6] == b"\x00\x03"
            yield message


@contextmanager
def cutting_proxy(target: Path, seed: int, every: tuple[int, int]) -> Iterator[CuttingProxy]:
    """A proxy for as long as the block lasts."""
    proxy = CuttingProxy(target, seed, every)
    try:
        yield proxy
    finally:
        proxy.close()

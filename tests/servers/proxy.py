"""A TCP proxy that does to a connection what networks do: in a thread, switched from the test."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_BLOCK_BYTES = 1 << 16
_LOOK_SECONDS = 0.02


class Toxic(StrEnum):
    PASS = "pass"
    REFUSE = "refuse"
    """New connections are reset; those that stand go on."""
    BLACKHOLE = "blackhole"
    """Everything is taken and nothing comes out, until this ends."""
    SWALLOW_RESPONSE = "swallow response"
    """The next request that holds `needle` reaches the server; its reply is lost, the line cut."""
    DROP_REQUEST = "drop request"
    """The next request that holds `needle` is lost and the line cut."""


@dataclass(eq=False)
class _Line:
    """One connection and what has gone through it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    swallowing: bool = False
    passed: int = 0


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes on to `upstream`, a (host, port) or a socket file.

    All attributes may be set at any time, and hold for what comes next.
    """

    def __init__(self, upstream: tuple[str, int] | Path) -> None:
        self.toxic = Toxic.PASS
        self.needle = b""
        """What a request must hold for a toxic to strike; Postgres says ``COMMIT``."""
        self.latency = 0.0
        """Seconds that every block waits."""
        self.bytes_per_second: float | None = None
        self.truncate_at: int | None = None
        """Cut a line once so many bytes of replies have passed."""
        self.struck = threading.Event()
        """Set when a request was swallowed or dropped."""
        self.port = 0
        self._upstream = upstream
        self._lines: set[_Line] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._serving: asyncio.Task[None] | None = None

    def strike(self, toxic: Toxic, needle: bytes) -> None:
        """Let the next request that holds `needle` meet `toxic`, once."""
        self.struck.clear()
        self.needle, self.toxic = needle, toxic

    def reset(self) -> None:
        """Reset every connection that stands."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._listening.wait(10), "the proxy does not listen"
        return self

    def __exit__(self, *_: object) -> None:
        if self._serving is not None:
            self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join(10)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._serving = self._loop.create_task(self._serve())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serving)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            self._reset_all()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        if self.toxic is Toxic.REFUSE:
            _abort(to_client)
            return
        try:
            from_server, to_server = await self._connect()
        except OSError:
            _abort(to_client)
            return
        line = _Line(to_client, to_server)
        self._lines.add(line)
        try:
            await asyncio.gather(
                self._requests(from_client, line), self._replies(from_server, line)
            )
        finally:
            self._lines.discard(line)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, Path):
            return await asyncio.open_unix_connection(self._upstream)
        return await asyncio.open_connection(*self._upstream)

    async def _requests(self, source: asyncio.StreamReader, line: _Line) -> None:
        async for block in self._blocks(source, line.server):
            if self.toxic is Toxic.DROP_REQUEST and self.needle in block:
                self._struck(line)
                return
            if self.toxic is Toxic.SWALLOW_RESPONSE and self.needle in block:
                line.swallowing = True
                self.toxic = Toxic.PASS
            await _send(line.server, block)

    async def _replies(self, source: asyncio.StreamReader, line: _Line) -> None:
        async for block in self._blocks(source, line.client):
            if line.swallowing:
                self._struck(line)
                return
            if self.truncate_at is not None and line.passed + len(block) > self.truncate_at:
                await _send(line.client, block[: self.truncate_at - line.passed])
                self._cut(line)
                return
            line.passed += len(block)
            await _send(line.client, block)

    async def _blocks(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> AsyncIterator[bytes]:
        try:
            while block := await source.read(_BLOCK_BYTES):
                await asyncio.sleep(self.latency)
                if self.bytes_per_second is not None:
                    await asyncio.sleep(len(block) / self.bytes_per_second)
                while self.toxic is Toxic.BLACKHOLE:
                    await asyncio.sleep(_LOOK_SECONDS)
                yield block
        except OSError:
            return
        finally:
            sink.close()

    def _struck(self, line: _Line) -> None:
        self.toxic = Toxic.PASS
        self._cut(line)
        self.struck.set()

    def _cut(self, line: _Line) -> None:
        _abort(line.client)
        _abort(line.server)

    def _reset_all(self) -> None:
        for line in [*self._lines]:
            self._cut(line)


async def _send(sink: asyncio.StreamWriter, block: bytes) -> None:
    with contextlib.suppress(OSError):
        sink.write(block)
        await sink.drain()


def _abort(line: asyncio.StreamWriter) -> None:
    """Close with a reset, not with a goodbye."""
    plug = line.get_extra_info("socket")
    if plug is not None and plug.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.transport.abort()

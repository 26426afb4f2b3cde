"""Millrace over HTTP, for programs: `Client`, and `AsyncClient` for those with an event loop.

`calls` describes each request once, `plays` says when to try again and how to wait, without any
input or output; the two clients only send, sleep and read. What goes wrong is raised as the classes
of `millrace.errors`, whether it was noticed here or over there.
"""

from __future__ import annotations

from millrace.client.asynchronous import AsyncClient
from millrace.client.synchronous import Client

__all__ = ["AsyncClient", "Client"]

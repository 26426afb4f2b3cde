"""Folders and buckets: can a job write there, and publish exactly once?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from millrace import storage
from millrace.cli.checks.finding import Finding, ok, tried, warn


def findings(uris: Sequence[str]) -> Iterator[Finding]:
    """What is to be said of the places that were named."""
    for uri in uris:
        yield from tried("storage", partial(_of_place, uri))


def _of_place(uri: str) -> Iterator[Finding]:
    place = storage.normalise(uri)
    storage.probe_output(place)
    yield ok("storage", f"{place} can be written to")
    if not storage.for_uri(place).exclusive(place):
        yield warn(
            "storage",
            f"{place} is on a server that ignores If-None-Match",
            "docs/adr/0006 tells what then is not promised; SeaweedFS, Ceph and Amazon honour it",
        )

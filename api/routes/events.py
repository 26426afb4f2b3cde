"""Events as they happen, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import anyio
from fastapi import Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api.deps import JobIdPath, JobReader
from api.event_feed import EventFeed
from api.routing import router as new_router
from millrace.answers import EventAnswer, EventPage

router = new_router("/v1", "events")

_LOOK_SECONDS = 0.5


class EventFilter(BaseModel):
    """Which events to tell of."""

    model_config = ConfigDict(extra="forbid")

    job: Annotated[str | None, Field(description="Those of one job only.", max_length=64)] = None
    after: Annotated[
        int | None,
        Field(ge=0, lt=1 << 63, description="Those behind this id; the new ones without it."),
    ] = None
    chunks: Annotated[bool, Field(description="Also the moves of chunks.")] = True


def feed_of(
    view: JobReader,
    which: Annotated[EventFilter, Query()],
    last_event_id: Annotated[
        int | None,
        Header(ge=0, lt=1 << 63, description="As `after`, of who comes back."),
    ] = None,
) -> EventFeed:
    """Where this reader begins: behind what it has seen, else with a job's first or the next."""
    given = [each for each in (last_event_id, which.after) if each is not None]
    if which.job is not None:
        job = view.job(which.job)
        return EventFeed(view, given[0] if given else 0, job.id, chunks=which.chunks)
    begin = given[0] if given else view.last_event()
    return EventFeed(view, begin, chunks=which.chunks)


@router.get("/events", response_class=EventSourceResponse)
async def follow_events(
    request: Request, feed: Annotated[EventFeed, Depends(feed_of)]
) -> AsyncIterator[ServerSentEvent]:
    """Every move of your jobs and their chunks, for as long as you listen.

    Those of one job end with its end. An event may come again after a reconnection.
    """
    yield ServerSentEvent(comment="here we are")
    while not (feed.is_over or request.app.state.is_stopping()):
        for event in await run_in_threadpool(feed.fresh):
            told = EventAnswer.model_validate(event)
            yield ServerSentEvent(data=told, event=told.verb, id=str(told.id))
        await anyio.sleep(_LOOK_SECONDS)


class HistoryFilter(BaseModel):
    """Which part of a history to show."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, lt=1 << 63, description="`next` of the page before.")] = 0
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    tail: Annotated[bool, Field(description="The last ones, instead of those behind `after`.")] = (
        False
    )


@router.get("/jobs/{job_id}/events")
def list_events(
    view: JobReader, job_id: JobIdPath, which: Annotated[HistoryFilter, Query()]
) -> EventPage:
    """What became of one job so far, oldest first, a page at a time."""
    if which.tail:
        found = view.newest_events(job_id, limit=which.limit)
    else:
        found = view.events(after=which.after, limit=which.limit, job_id=job_id)
    more = len(found) == which.limit and not which.tail
    return EventPage(
        data=[*map(EventAnswer.model_validate, found)], next=found[-1].id if more else None
    )

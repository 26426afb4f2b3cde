"""OpenAI's own client before a whole API, with a small model of our own behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import openai
from openai.types import Batch

from millrace.filing import batches
from millrace.lifecycle import jobs
from millrace.types import JobId
from scheduler.planner import Planner
from tests.api.site import Realm, Site
from tests.running import carry_out, runner_of
from tests.waiting import until
from workers.child import ComputeChild

ENDPOINT: Final = "/v1/embeddings"
ENDED = ("completed", "failed", "expired", "cancelled")

MODEL = '''
import numpy as np
from millrace.predictor import Predictor

class Lengths(Predictor):
    """Embeds a text as its length and a half; refuses one word."""

    def predict(self, batch):
        if any("forbidden" in text for text in batch["text"]):
            raise ValueError("a forbidden word")
        lengths = [[len(text), 0.5] for text in batch["text"]]
        return {"embedding": np.array(lengths, dtype=np.float32)}
'''


def models(folder: Path) -> dict[str, str]:
    """The setting `openai_models` for the small model, which is written into `folder`."""
    (folder / "model.py").write_text(MODEL)
    return {"lengths": f"python:{folder / 'model.py'}:Lengths", "echo": "echo"}


@contextmanager
def client_of(site: Site, tenant: str = "acme", *scopes: str) -> Iterator[openai.OpenAI]:
    """OpenAI's client with a new key of a tenant."""
    key = site.key(tenant, *scopes)
    with openai.OpenAI(base_url=f"{site.base}/v1", api_key=key, max_retries=0) as client:
        yield client


def line(custom_id: str, given: Any, **changes: Any) -> dict[str, Any]:
    """One request; of `changes`, those that a line has by itself are its own, others its body's."""
    own = {name: changes.pop(name) for name in ("method", "url") if name in changes}
    body = {"model": "lengths", "input": given} | changes
    return {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body} | own


def content_of(*requests: Any) -> bytes:
    """Lines of a file; texts stand there as they are."""
    lines = (each if isinstance(each, str) else json.dumps(each) for each in requests)
    return "".join(f"{each}\n" for each in lines).encode()


def created(client: openai.OpenAI, *requests: Any, window: Any = "24h", **more: Any) -> Batch:
    """A batch over a new file with these lines."""
    file = client.files.create(file=("in.jsonl", content_of(*requests)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=ENDPOINT, completion_window=window, **more
    )


def job_of(realm: Realm, batch: Batch) -> JobId:
    """The job that a batch has become."""
    with realm.database.read() as connection:
        found = batches.known(connection, batch.id, tenant=None).job_id
    assert found is not None
    return found


def begin(realm: Realm, batch: Batch) -> JobId:
    """Have its job planned and started."""
    job_id = job_of(realm, batch)
    Planner(realm.database, slots=1, interval=1.0).tick(0.0)
    with realm.database.write() as connection:
        assert jobs.start(connection, job_id)
    return job_id


def compute(realm: Realm, child: ComputeChild, tmp_path: Path, batch: Batch) -> None:
    """Have its job done by a real worker."""
    carry_out(realm.database, runner_of(realm.database, child, tmp_path), begin(realm, batch))


def polled(client: openai.OpenAI, batch: Batch) -> Batch:
    """The batch once it has ended, as a program would wait for it."""
    seen: list[Batch] = []

    def has_ended() -> bool:
        seen.append(client.batches.retrieve(batch.id))
        return seen[-1].status in ENDED

    until(has_ended, "the batch ends", every=0.05)
    return seen[-1]


def read(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of a file of results."""
    assert file_id is not None
    return [json.loads(each) for each in client.files.content(file_id).text.splitlines()]

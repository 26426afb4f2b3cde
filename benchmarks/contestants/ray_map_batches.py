"""Ray Data's `map_batches` with a class of actors, as its guide to batch inference shows it."""

from __future__ import annotations

from typing import Any

import ray

from benchmarks.contestants.arguments import read_order

ACTORS = 2
BLOCKS = 16
BATCH_ROWS = 256


class Embed:
    def __init__(self, model: str) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(model, device="cpu", local_files_only=True)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        vectors = self.model.encode(list(batch["text"]), show_progress_bar=False)
        return {"id": batch["id"], "embedding": vectors}


def main() -> None:
    order = read_order()
    if order.workload != "texts":
        raise SystemExit("ray_map_batches.py runs the workload texts only")
    # One slot beside the actors: on two cores they would leave none for reading, and wait for ever.
    ray.init(num_cpus=ACTORS + 1, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    rows = ray.data.read_json(str(order.input), lines=True, override_num_blocks=BLOCKS)
    vectors = rows.map_batches(
        Embed,
        fn_constructor_args=(str(order.model),),
        batch_size=BATCH_ROWS,
        num_cpus=1,
        concurrency=ACTORS,
    )
    vectors.write_json(str(order.output))


if __name__ == "__main__":
    main()

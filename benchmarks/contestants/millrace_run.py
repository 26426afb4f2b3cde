"""`millrace run` as a user would type it; this file only spells the command."""

from __future__ import annotations

import os

from benchmarks.contestants.arguments import Order, read_order


def command(order: Order) -> list[str]:
    model, shape = {
        "texts": (f"sentence-transformers:{order.model}", ["--join", "key", "--key", "id"]),
        "floats": (f"torch:{order.model / 'mlp.pt2'}", ["--join", "none"]),
        "echo": ("echo:", ["--join", "none"]),
    }[order.workload]
    if order.workload == "texts":
        shape += ["--input-columns", "text"]
    state = order.output.with_name(f"{order.output.name}-state")
    places = ["--input", str(order.input), "--output", str(order.output), "--state", str(state)]
    return ["millrace", "run", "--model", model, *places, *shape]


if __name__ == "__main__":
    words = command(read_order())
    os.execvp(words[0], words)

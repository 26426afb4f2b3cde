"""The protocol holds in every interleaving, and none of its guards can go."""

from __future__ import annotations

import pytest

from tests.model_check import MUTATIONS, check


@pytest.mark.slow
def test_the_protocol_holds() -> None:
    verdict = check()
    assert verdict.fault is None, verdict.trace
    assert verdict.live
    assert verdict.states > 10_000


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_guard_is_needed(mutation: str) -> None:
    verdict = check(mutation)
    assert verdict.fault is not None
    assert verdict.trace

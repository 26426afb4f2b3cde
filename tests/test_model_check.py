"""The protocol holds in every interleaving, and none of its guards can go."""

from __future__ import annotations

import pytest

from tests.model_check import MUTATIONS, OF_TWINS, START, WITH_TWINS, check
from tests.protocol_state import State


@pytest.mark.slow
@pytest.mark.parametrize("scope", [START, WITH_TWINS], ids=["splits", "twins"])
def test_the_protocol_holds(scope: State) -> None:
    verdict = check(start=scope)
    assert verdict.fault is None, verdict.trace
    assert verdict.live
    assert verdict.states > 10_000


@pytest.mark.parametrize("mutation", [*MUTATIONS, *OF_TWINS])
def test_every_guard_is_needed(mutation: str) -> None:
    scope = WITH_TWINS if mutation in OF_TWINS else START
    verdict = check(mutation, scope)
    assert verdict.fault is not None
    assert verdict.trace

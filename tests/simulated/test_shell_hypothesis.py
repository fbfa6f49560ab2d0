"""Hypothesis looks for a seed far from the usual ones that breaks the engine's shell."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulated.shell import simulate


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(min_value=1_000_000, max_value=2**62))
def test_any_seed_keeps_its_promises_and_gives_the_same_trace_twice(seed: int) -> None:
    assert simulate(seed).digest == simulate(seed).digest

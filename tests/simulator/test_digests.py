"""The same seed gives the same bytes: as ever, whatever was made faster, and in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulator.worlds import WORLDS, told

KNOWN = {
    "chains": "f93e8588c2b6e2be",
    "limited": "19d16414d3a65ecc",
    "refused": "a206c887f1820957",
    "nested": "c493356b496d86cb",
    "hedged": "8a6ddd09a207c8e5",
    "paused": "f04266be3893b3c1",
    "consensus": "7bb492f02cea4a88",
    "reviews": "148b6294dd383826",
}
"""What happens in each world; where a rule changes on purpose, so do these.

They are printed by `python -m tests.simulator.worlds`.
"""


@pytest.mark.parametrize("name", WORLDS)
def test_what_happens_is_what_has_always_happened(name: str) -> None:
    assert told(WORLDS[name]()) == KNOWN[name]


def test_another_process_gives_the_same_bytes() -> None:
    lines = []
    for hash_seed in ("1", "2"):
        child = subprocess.run(
            [sys.executable, "-m", "tests.simulator.worlds"],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        lines.append(child.stdout.splitlines())
    assert lines[0] == lines[1] == [f"{name} {known}" for name, known in KNOWN.items()]

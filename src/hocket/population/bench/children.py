"""Measurements that need a process of their own: its memory, its precision, its devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from hocket.core.errors import Refused


def in_child(measurement: str, *, limit: float = 600.0, **options: Any) -> dict[str, Any]:
    """Take a measurement of `hocket.population.bench.child` in a process of its own.

    Args:
        measurement: Which.
        limit: The seconds after which it is killed.
        options: What it is asked.

    Raises:
        Refused: if it fails, or takes too long.
    """
    command = [sys.executable, "-m", "hocket.population.bench.child", measurement]
    try:
        done = subprocess.run(
            [*command, json.dumps(options)],
            capture_output=True,
            text=True,
            timeout=limit,
            env=dict(os.environ),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"measuring {measurement} {options} took more than {limit:g} s") from None
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise Refused(f"measuring {measurement} {options} failed: {why}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found

"""Measurements that need a process of their own: its memory, its precision, its devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from hocket.core.errors import Refused
from hocket.population.distributed import run_processes


def in_child(measurement: str, *, limit: float = 600.0, **options: Any) -> dict[str, Any]:
    """Take a measurement of `hocket.population.bench.child` in a process of its own.

    Args:
        measurement: Which.
        limit: The seconds after which it is killed.
        options: What it is asked.

    Raises:
        Refused: if it fails, or takes too long.
    """
    try:
        done = subprocess.run(
            _command(measurement, options),
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
    return _last(done.stdout)


def in_processes(measurement: str, processes: int, **options: Any) -> dict[str, Any]:
    """Take a measurement in several processes together, and give what the first one found.

    Args:
        measurement: Which.
        processes: How many, a power of two.
        options: What each is asked.

    Raises:
        Refused: if it fails.
    """
    done = run_processes(_command(measurement, options), processes, capture=True)
    if done.status:
        raise Refused(f"measuring {measurement} {options} failed in {processes} processes")
    return _last(done.printed.decode())


def _command(measurement: str, options: dict[str, Any]) -> list[str]:
    module = "hocket.population.bench.child"
    return [sys.executable, "-m", module, measurement, json.dumps(options)]


def _last(printed: str) -> dict[str, Any]:
    """The document in the last line."""
    found: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    return found

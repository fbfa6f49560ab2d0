"""The benchmark of makespans reads any folder of its two formats, and skips what has neither."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "makespan.py"
PROJECT = """\
************************************************************************
PRECEDENCE RELATIONS:
jobnr.    #modes  #successors   successors
   1        1          3           2   3   4
   2        1          1           5
   3        1          1           5
   4        1          1           5
   5        1          0
************************************************************************
REQUESTS/DURATIONS:
jobnr. mode duration  R 1
------------------------------------------------------------------------
  1      1     0       0
  2      1     4       2
  3      1     3       1
  4      1     3       1
  5      1     0       0
************************************************************************
RESOURCEAVAILABILITIES:
  R 1
    2
************************************************************************
"""


def bench(*options: str | Path) -> str:
    command = [sys.executable, BENCH, "--orders", "20", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def test_a_folder_without_data_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    assert bench(tmp_path).startswith("skipped: ")
    assert bench(tmp_path / "nowhere").startswith("skipped: ")


def test_both_formats_are_read(tmp_path: Path) -> None:
    (tmp_path / "one.sm").write_text(PROJECT)
    (tmp_path / "optimum.csv").write_text("problem,optimum\none.sm,7\n")
    tasks = [
        {"id": "a b", "seconds": 2.5, "needs": []},
        {"id": "c", "seconds": 1, "needs": ["a b"]},
    ]
    (tmp_path / "flow.json").write_text(json.dumps({"tasks": tasks}))
    printed = bench(tmp_path, "--quick")
    assert "| look-ahead | 0.00 | 0.0 | 1 |" in printed
    assert "| flow | 2 | 4 | – | 3.5 | 1.0000 | 1.0000 | 1.0000 | 1.0000 |" in printed

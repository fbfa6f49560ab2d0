"""Runs all benchmarks, one after the other; ``make bench`` comes here.

Options are handed on to each that knows them: ``--quick`` is known to all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = (
    "imports.py",
    "overlap.py",
    "journal.py",
    "steps.py",
    "admission.py",
    "limiters.py",
    "server_limits.py",
    "makespan.py",
    "panel.py",
    "policies.py",
    "review.py",
    "reviewed.py",
    "simulate.py",
    "explain.py",
    "calibrated.py",
    "consensus.py",
    "population.py",
)
WITHOUT_JSON = ("journal.py", "makespan.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="minutes less, and noisier")
    parser.add_argument("--out", type=Path, help="a folder for each benchmark's figures as JSON")
    parser.add_argument("--only", choices=[name.removesuffix(".py") for name in SCRIPTS])
    given = parser.parse_args()
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for script in SCRIPTS:
        if given.only and script != f"{given.only}.py":
            continue
        command = [sys.executable, str(HERE / script)]
        if script == "journal.py":
            command += ["--events", "500", "--rounds", "3"] if given.quick else []
        else:
            command += ["--quick"] if given.quick else []
            if given.out and script not in WITHOUT_JSON:
                command += ["--json", str(given.out / script.replace(".py", ".json"))]
        print(f"\n=== bench/{script}\n", flush=True)
        if subprocess.run(command, check=False).returncode:
            failed.append(script)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

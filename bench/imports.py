"""What a start costs: CPU seconds and peak memory of ``import hocket`` and ``hocket --help``.

Each is a process of its own; an empty Python program stands beside them, for what is not ours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import measure

MAIN = "hocket.cli.main"
COMMANDS = {
    "python, nothing": ("pass", ""),
    "import hocket": ("import hocket", ""),
    "hocket --help": (f"from {MAIN} import main; main()", "--help"),
}
BOUNDS = {"import hocket": (0.15, 60.0), "hocket --help": (0.25, 60.0)}


# The usage that a parent is told counts the parent's own memory before the exec, so the child asks.
TELL_PEAK = """
import atexit, sys
@atexit.register
def tell():
    try:
        lines = open("/proc/self/status").read().splitlines()
        peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except OSError:
        import resource
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak, file=sys.stderr)
"""


def seconds(code: str, argument: str) -> float:
    """Give the CPU seconds of a Python process."""
    child = subprocess.Popen([sys.executable, "-c", code, argument], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{code!r} {argument} ended with status {child.returncode}")
    return used.ru_utime + used.ru_stime


def peak(code: str, argument: str) -> float:
    """Give the peak MB of a Python process."""
    code = TELL_PEAK + code
    command = [sys.executable, "-c", code, argument]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return int(told.split()[-1]) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args()
    head = measure.machine(["hocket"])
    print("\n".join(head), flush=True)
    commands = dict(COMMANDS)
    if find_spec(MAIN) is None:
        del commands["hocket --help"]
        print("hocket --help: there is no command line yet")
    rounds = given.rounds or (5 if given.quick else 15)
    # First once for the bytecode, and for the files to be read from the disk.
    sizes = {name: peak(*command) for name, command in commands.items()}
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            taken[name].append(seconds(*command))
    print(f"{measure.NOISE}\n")
    cpu = {name: measure.median(found) for name, found in taken.items()}
    columns = ["command", "CPU s", "peak MB", "bounds"]
    print(measure.table(columns, [_row(name, cpu[name], sizes[name]) for name in commands], 1))
    print(f"\nMedians of {rounds} rounds in turn, the files' bytecode and pages being there.")
    if given.json:
        whole = {"machine": head, "cpu": taken, "mb": sizes}
        given.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def _row(name: str, cpu: float, size: float) -> list[str]:
    row = [name, f"{cpu:.3f}", f"{size:.1f}"]
    if name not in BOUNDS:
        return [*row, ""]
    most = BOUNDS[name]
    verdict = "hold" if cpu <= most[0] and size <= most[1] else "DO NOT HOLD"
    return [*row, f"{most[0]:g} s, {most[1]:g} MB: {verdict}"]


if __name__ == "__main__":
    main()

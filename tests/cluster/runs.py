"""Runs of the steps that say what they do, and what the journal has to say of them afterwards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hocket.app.journals import open_journal
from hocket.core.events import CallFailed, CallFinished, CallLost, RunEnded, RunResumed

FILE = """
version: 1
agents:
  doer: {{function: "tests.cluster.steps:doze"{place}}}
plans:
  naps:
    inputs: [numbers, log]
    max_parallel: {parallel}
    steps:
      nap:
        each: inputs.numbers
        agent: doer
        with: {{number: "{{{{item}}}}", log: "{{{{inputs.log}}}}"}}
"""


def write(folder: Path, parallel: int, place: str = "") -> Path:
    """Write the file of a plan that does so many steps at once.

    Args:
        folder: Where to.
        parallel: How many steps are in flight at once.
        place: What its agent needs of a node, as ``{tag: here}``.
    """
    path = folder / "hocket.yaml"
    path.write_text(FILE.format(parallel=parallel, place=f", place: {place}" if place else ""))
    return path


def inputs(numbers: Sequence[int], log: Path) -> list[str]:
    """Give the inputs of such a plan, as options of a command."""
    return ["-i", f"numbers:={json.dumps([*numbers])}", "-i", f"log={log}"]


class Story(NamedTuple):
    """What the journal says of a run.

    Fields:
        status: How it ended, or "" if it has not.
        finished: How often each step is finished.
        lost: How often a call of each step was lost with who did it.
        failed: What else went wrong with calls.
        owners: How many processes have owned it.
    """

    status: str
    finished: Counter[int]
    lost: Counter[int]
    failed: list[str]
    owners: int


def story(url: str, run: str, numbers: Sequence[int], folder: Path) -> Story:
    """Read a run of these steps.

    Args:
        url: Of the journal.
        run: Its id.
        numbers: The steps, as they were given.
        folder: For a journal that is a file.
    """
    status, owners = "", 1
    finished, lost = Counter[int](), Counter[int]()
    failed: list[str] = []
    journal = open_journal(url, folder, 15)
    try:
        for recorded in journal.read(run):
            match recorded.event:
                case CallFinished(call=call):
                    finished[numbers[_index(call.path)]] += 1
                case CallLost(call=call):
                    lost[numbers[_index(call.path)]] += 1
                case CallFailed(call=call, fault=fault):
                    failed.append(f"{call}: {fault.message}")
                case RunResumed():
                    owners += 1
                case RunEnded(status=ended):
                    status = ended
    finally:
        journal.close()
    return Story(status, finished, lost, failed, owners)


def _index(path: str) -> int:
    return int(path.rpartition("/")[2])

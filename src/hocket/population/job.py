"""The process of a step that runs a population: ``python -m hocket.population.job FOLDER``.

It reads its settings as JSON from standard input, tells how far it is on standard output, and
writes ``answer.json`` into the folder; what it saves on the way lies there as well.
Told to end, it saves what it has done first.
What it does needs JAX, and is imported once that is known to be there.

Of several processes that run one population together the first answers; whoever has started them
has given each machine's a folder of their own, and says by ``FOLDER RESUME`` whether they go on.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from hocket.config.population import ANSWER
from hocket.core.errors import CallerError, SpecError
from hocket.core.values import Json
from hocket.population.files import write_whole
from hocket.population.place import my_place
from hocket.population.settings import need_extra, read_settings

STOPPED: Final = 143
"""The exit status of one that was told to end."""


def main(arguments: Sequence[str]) -> int:
    """Run a population as standard input says; gives the exit status."""
    folder = Path(arguments[0])
    given = json.load(sys.stdin)
    place = my_place()
    if place is not None:
        return _told(_answer(given, folder, *arguments[1:]), folder, first=place.process == 0)
    with (folder / "lock").open("w") as lock:
        # An attempt that has not quite ended yet must not write beside this one.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _told(_answer(given, folder), folder, first=True)


def _told(answer: dict[str, Any] | None, folder: Path, *, first: bool) -> int:
    if answer is None:
        return STOPPED
    if first:
        write_whole(folder / ANSWER, json.dumps(answer, allow_nan=False).encode())
    elif problems := answer.get("problems"):
        # The others may know nothing of it, and wait for this one.
        print(*problems, sep="\n", file=sys.stderr, flush=True)
        os._exit(2)
    return 0


def _answer(given: dict[str, Json], folder: Path, *resume: str) -> dict[str, Any] | None:
    try:
        need_extra()
        answer: dict[str, Any] | None = import_module("hocket.population.step").run_step(
            read_settings(given), folder, *resume
        )
    except SpecError as error:
        return {"problems": list(error.lines)}
    except CallerError as error:
        return {"problems": [str(error)]}
    return answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

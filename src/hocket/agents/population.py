"""Populations of active-inference agents as one call, in a process of its own.

The engine's loop is never held up, and cancelling kills the process with all that it holds.
What is saved on the way lies in the state folder under the run and the call's path: a call that is
made again after a crash goes on there, and gives the same to the last bit.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec

from hocket.agents.base import Context, Reply, Request
from hocket.agents.child import Launch
from hocket.agents.environment import child_environment
from hocket.agents.output import clip, fault
from hocket.agents.process import Finished, describe_exit, run_process
from hocket.agents.settings import read
from hocket.agents.terminal import plain
from hocket.config.population import ANSWER, KEPT, KEPT_TOLD
from hocket.core.errors import AgentError, PeerError
from hocket.core.specs import AgentSpec, PlaceSpec
from hocket.core.values import FileRef, Json, is_file

FOLDER: Final = "populations"
"""Where, below the state folder, calls keep what they have saved."""
_SAID: Final = 480
"""The most characters of mistakes that a failure's message names."""
_GRACE: Final = 10.0
"""Seconds that a cancelled population has to save what it has done."""
PASSED: Final = ("JAX_PLATFORMS", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
"""Variables that say which devices there are."""


class PopulationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of whoever runs populations.

    Fields:
        cwd: Where models' files are looked for; Hocket's own working folder, if left out.
    """

    cwd: str | None = None


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the process wrote.

    Fields:
        output: What came of it, if it ran to its end.
        files: Where the files are that it made, by name.
        problems: A line for each mistake in what it was told.
    """

    output: dict[str, Json] = {}
    files: dict[str, str] = {}
    problems: list[str] = []


class Groups(Protocol):
    """Runs populations on nodes of a cluster, where there is one."""

    async def run(
        self,
        given: Mapping[str, Json],
        folder: Path,
        base: Path,
        place: PlaceSpec | None,
        context: Context,
    ) -> Finished:
        """Run a population; its answer and its files lie in the folder then, as from one process.

        Args:
            given: What it is told.
            folder: Where it is kept, on this machine.
            base: Where names of files are meant from.
            place: What each node needs to have.
            context: What is lent to the call.

        Raises:
            PeerError: Nodes or processes were lost too often.
            asyncio.CancelledError: The call was cancelled, and nothing of it is left.
        """


class PopulationAgent:
    """Runs populations; each call is one, from its first tick to its last.

    Args:
        name: What it is called.
        spec: Its spec.
        state: The state folder.
        live: Nothing of it is used.
        groups: Whoever runs them on a cluster; None to run them in a process of this machine.

    Raises:
        SpecError: An option is unknown, or wrong.
    """

    def __init__(
        self,
        name: str,
        spec: AgentSpec,
        *,
        state: Path,
        live: dict[str, Any],
        groups: Groups | None = None,
    ) -> None:
        self._options = read(PopulationOptions, name, spec.options)
        self._place = spec.place
        self._groups = groups
        self._state = state

    async def call(self, request: Request, context: Context) -> Reply:
        """Run a population, or go on with one.

        Raises:
            AgentError: ``permanent`` for what it was told, such as GMN text with mistakes, which
                the detail lists line by line; ``failed`` where its process failed;
                ``unavailable`` where nodes of a cluster were lost.
            asyncio.CancelledError: The call was cancelled, and its process is gone.
        """
        if not isinstance(request.input, dict) or request.options:
            raise fault("permanent", "a population is told what a step's 'population' says, alone")
        folder = folder_of(self._state, request.run, request.call.path)
        # Absolute, as the process may work elsewhere.
        folder = Path(await asyncio.to_thread(_made, folder))
        given = {**request.input, **await _continued(request.input, context)}
        done = await self._run(given, folder, context)
        answer = await asyncio.to_thread(_read, folder / ANSWER)
        if done.status != 0 or answer is None or answer.problems:
            raise _failure(done, answer)
        files = {
            name: msgspec.to_builtins(await context.store(folder / path, name))
            for name, path in answer.files.items()
        }
        await asyncio.to_thread(_dropped, folder)
        return Reply(output={**answer.output, "files": files})

    async def close(self) -> None:
        """Nothing is held between calls."""

    async def _run(self, given: Mapping[str, Json], folder: Path, context: Context) -> Finished:
        if self._groups is None:
            return await run_process(self._launch(given, folder), context)
        try:
            base = Path(self._options.cwd or ".")
            return await self._groups.run(given, folder, base, self._place, context)
        except PeerError as error:
            raise fault("unavailable", clip(str(error), _SAID)) from error

    def _launch(self, given: Mapping[str, Json], folder: Path) -> Launch:
        return Launch(
            argv=(sys.executable, "-P", "-m", "hocket.population.job", str(folder)),
            env=child_environment(env_pass=PASSED),
            cwd=self._options.cwd,
            stdin=msgspec.json.encode(given),
            grace=_GRACE,
        )


async def _continued(given: Mapping[str, Json], context: Context) -> dict[str, Json]:
    """Fetch the population that goes on, if one does.

    Raises:
        AgentError: ``permanent``: it was not kept.
    """
    files = given.get("continues")
    if files is None:
        return {}
    found = [files.get(name) if isinstance(files, dict) else None for name in (KEPT, KEPT_TOLD)]
    if not all(map(is_file, found)):
        raise fault(
            "permanent",
            "continues: there is no population among these files; give the 'files' of a step that "
            "ran a population with keep: true",
        )
    population, settings = (msgspec.convert(ref, FileRef) for ref in found)
    return {
        "continues": {
            "population": str(await context.fetch(population)),
            "settings": str(await context.fetch(settings)),
            "digest": f"{population.digest} {settings.digest}",
        }
    }


def folder_of(state: Path, run: str, path: str = "") -> Path:
    """Give the folder of a call's population, or of all of a run."""
    below = state / FOLDER / quote(run, safe="")
    return below / quote(path, safe="") if path else below


def _made(folder: Path) -> str:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # What an earlier attempt has answered is not this one's answer.
    (folder / ANSWER).unlink(missing_ok=True)
    return str(folder.resolve())


def _dropped(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.rmdir()
    except OSError:
        # Others of the run are at work.
        return


def _read(path: Path) -> _Answer | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Answer)
    except (OSError, msgspec.MsgspecError):
        # It has ended without an answer; its status says why.
        return None


def _failure(done: Finished, answer: _Answer | None) -> AgentError:
    if answer is not None and answer.problems:
        return fault("permanent", _said(answer.problems), "\n".join(answer.problems))
    text = plain(done.err.decode("utf-8", "replace")).strip()
    last = text.rpartition("\n")[2].strip()
    message = "ended without an answer" if done.status == 0 else describe_exit(done.status)
    return fault("failed", f"{message}: {clip(last)}" if last else message, text)


def _said(problems: list[str]) -> str:
    """Name as many mistakes as there is room for: whoever wrote a GMN is told them by this."""
    said = clip(problems[0], _SAID)
    for count, problem in enumerate(problems[1:], 1):
        if len(said) + len(problem) + 2 > _SAID:
            return f"{said} (and {len(problems) - count} more)"
        said = f"{said}; {problem}"
    return said

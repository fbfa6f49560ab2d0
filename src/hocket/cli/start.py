"""Commands that run something: ``run``, ``resume``, ``retry``."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
from cyclopts import Parameter

from hocket.app.engine import Engine
from hocket.app.load import find_functions_beside, load_file, load_plan, settle
from hocket.app.needs import keyless
from hocket.app.run import Run
from hocket.app.spot import on_the_spot
from hocket.app.state import find_run
from hocket.cli.drive import AS_IT_IS, Ending, Show, choose, drive
from hocket.cli.options import (
    BEGIN,
    FILE,
    AsJson,
    Begin,
    Beginning,
    BudgetOf,
    Cluster,
    Deadline,
    Inputs,
    Jsonl,
    Limits,
    NoWait,
    Plain,
    Priority,
    Quiet,
    Weight,
)
from hocket.cli.requests import owner_alive, paused_elsewhere, post
from hocket.cli.shown import SHOWN
from hocket.cli.user import user
from hocket.cli.weights import fetch_weights
from hocket.config.diff import spec_diff
from hocket.config.overrides import Overrides, bounded_as, overridden
from hocket.core.errors import NotFound, Refused
from hocket.core.requests import AnyRequest, Continue, Retry
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec, spec_digest
from hocket.core.values import Json
from hocket.engine.runner import Observer

MAX_INPUT: Final = 16 << 20


def run(
    target: Annotated[str, SHOWN] = FILE,
    plan: str | None = None,
    /,
    *,
    input: Inputs | None = None,
    begin: Beginning = BEGIN,
) -> int:
    """Run a plan.

    Args:
        target: A file, or the name of a plan in hocket.yaml.
        plan: The plan's name, where the file has several.
    """
    path, plan = _meant(target, plan)
    spec = load_plan(path, plan, begin.overrides)
    # Nodes of a cluster have an environment of their own.
    if begin.cluster is None and (lacks := keyless(spec)):
        raise Refused("\n".join(lacks))
    return launch(spec, read_inputs(input or []), begin)


def launch(spec: RunSpec, inputs: Mapping[str, Json], how: Begin, ending: Ending = AS_IT_IS) -> int:
    """Run a spec as a command was told to; gives the exit status."""
    if how.max_parallel is not None:
        spec = msgspec.structs.replace(spec, max_parallel=how.max_parallel)
    find_functions_beside(spec.source)
    if how.cluster is None:
        fetch_weights(spec)
    show = choose(plain=how.plain, quiet=how.quiet, json_=how.json_, jsonl=how.jsonl)

    async def whole() -> int:
        async with Engine(
            memory=how.memory, look_ahead=how.look_ahead, cluster=how.cluster
        ) as engine:

            async def begin(observers: Sequence[Observer]) -> Run:
                return await engine.begin(
                    spec,
                    inputs,
                    run_id=how.run_id,
                    seed=how.seed,
                    observers=observers,
                    stay=False,
                    wait=not how.no_wait,
                )

            return await drive(begin, show, json_=how.json_, ending=ending)

    return asyncio.run(whole())


def resume(
    run: str,
    /,
    *,
    new_spec: Annotated[
        bool, Parameter(help="Go on with the changed file; equal steps stay done.", negative=())
    ] = False,
    pinned: Annotated[
        bool, Parameter(help="Go on as the run began, whatever the file says now.", negative=())
    ] = False,
    file: Annotated[Path | None, Parameter(help="The file, if it has moved.")] = None,
    limit: Limits | None = None,
    budget: BudgetOf | None = None,
    priority: Priority | None = None,
    weight: Weight | None = None,
    deadline: Deadline | None = None,
    cluster: Cluster = None,
    no_wait: NoWait = False,
    plain: Plain = False,
    quiet: Quiet = False,
    json_: AsJson = False,
    jsonl: Jsonl = False,
) -> int:
    """Take up a run that was paused, or whose process died.

    What it has finished is not done again.
    If a server holds the run and it is paused, the server goes on with it.
    Its limits stay as it began with them, unless --new-spec takes the file's or others are given.

    Args:
        run: The run's id, its beginning, or "last".
    """
    show = choose(plain=plain, quiet=quiet, json_=json_, jsonl=jsonl)
    if new_spec and pinned:
        raise Refused("--new-spec and --pinned exclude each other")
    others = Overrides(limit or (), budget, priority, weight, deadline)
    if not new_spec and file is None and not others and paused_elsewhere(run):
        return post(run, Continue(by=user()))
    how = _Again(new_spec, pinned, file, others, cluster)
    return _go_on(run, (), show, json_, how, wait=not no_wait)


def retry(
    run: str,
    step: str = "",
    /,
    *,
    cluster: Cluster = None,
    no_wait: NoWait = False,
    plain: Plain = False,
    quiet: Quiet = False,
    json_: AsJson = False,
    jsonl: Jsonl = False,
) -> int:
    """Do a failed or held step again, and what was skipped for its sake.

    If the run's process is gone, it goes on here.

    Args:
        run: The run's id, its beginning, or "last".
        step: The step; without it all that have failed.
    """
    request = Retry(by=user(), path=step)
    if owner_alive(run):
        return post(run, request)
    show = choose(plain=plain, quiet=quiet, json_=json_, jsonl=jsonl)
    return _go_on(
        run, (request,), show, json_, _Again(pinned=True, cluster=cluster), wait=not no_wait
    )


class _Again(NamedTuple):
    """With what a run goes on.

    Fields:
        new: Go on with the changed file.
        pinned: Go on as the run began.
        file: The file, if it has moved.
        overrides: What is to be otherwise from now on.
        cluster: Where its calls are done; None for this process.
    """

    new: bool = False
    pinned: bool = False
    file: Path | None = None
    overrides: Overrides = Overrides()
    cluster: str | None = None


def _go_on(
    given: str,
    requests: Sequence[AnyRequest],
    show: Show,
    json_: bool,
    how: _Again,
    *,
    wait: bool,
) -> int:
    async def whole() -> int:
        async with Engine(cluster=how.cluster) as engine:
            run_id = find_run(engine.journal, given)
            machine = engine.fold(run_id)
            changed = _changed(machine, how)
            spec = changed or machine.spec
            find_functions_beside(spec.source)
            if how.cluster is None:
                fetch_weights(spec)

            async def begin(observers: Sequence[Observer]) -> Run:
                return await engine.resume(
                    run_id,
                    changed,
                    new_spec=changed is not None,
                    requests=requests,
                    observers=observers,
                    stay=False,
                    wait=wait,
                )

            return await drive(begin, show, json_=json_)

    return asyncio.run(whole())


def _changed(machine: RunMachine, how: _Again) -> RunSpec | None:
    """Give the spec that a run is to go on with; None for the one that it has.

    Raises:
        Refused: Its file has changed, and nobody says what is to hold; the message shows how.
    """
    now = None if how.pinned else _of_file(machine, how)
    if now is not None and how.new:
        return now if spec_digest(now) != machine.digest else None
    if now is not None and spec_digest(now) != machine.digest:
        told = spec_diff(machine.spec, now)
        raise Refused(
            f"{how.file or machine.spec.source} has changed since run {machine.run} began:\n"
            f"{told}\n"
            "Go on with the changed file: add --new-spec (equal steps stay done).\n"
            "Go on as the run began: add --pinned."
        )
    if not how.overrides:
        return None
    path = how.file or machine.spec.source
    loaded = load_file(path) if now is not None else None
    return overridden(machine.spec, how.overrides, loaded)


def _of_file(machine: RunMachine, how: _Again) -> RunSpec | None:
    """Read the run's file again; without --new-spec the run's own limits hold.

    Raises:
        Refused: It is not there, and would have to be.
    """
    source = machine.spec.source
    if on_the_spot(source):
        if how.new or how.file is not None:
            raise Refused(f"run {machine.run} was stated on the command line: it has no file")
        return None
    path = how.file or (Path(source) if source else None)
    if path is None or (how.file is None and not path.exists()):
        if how.new:
            raise Refused(f"the file of this run is not at {path}; say where with --file")
        return None
    loaded = load_file(path)
    spec = loaded.spec(machine.spec.name)
    if how.new:
        spec = overridden(spec, how.overrides, loaded)
    now = settle(spec, path, loaded)
    now = msgspec.structs.replace(now, max_parallel=machine.spec.max_parallel)
    kept = bounded_as(now, machine.spec)
    if how.new or spec_digest(kept) == spec_digest(now):
        return now
    print(
        f"hocket: the limits of run {machine.run} stay as it began with them; --new-spec takes "
        f"those of {path}",
        file=sys.stderr,
    )
    return kept


def _meant(target: str, plan: str | None) -> tuple[str, str | None]:
    """Tell a file from a plan's name in the usual file."""
    looks_like_file = target.endswith((".yaml", ".yml")) or Path(target).exists()
    if looks_like_file or plan is not None or "/" in target:
        return target, plan
    if not Path(FILE).exists():
        raise NotFound(
            f"there is no file {target!r}, and no {FILE} here that could have a plan of that name; "
            "make one with: hocket init"
        )
    return FILE, target


def read_inputs(given: Sequence[str]) -> dict[str, Json]:
    """Read ``NAME=TEXT``, ``NAME:=JSON`` and ``NAME=@FILE``.

    Raises:
        Refused: One of them is none of these.
    """
    inputs: dict[str, Json] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.rstrip(":"):
            raise Refused(f"--input {text!r}: write NAME=TEXT, NAME:=JSON or NAME=@FILE")
        if name.rstrip(":") in inputs:
            raise Refused(f"--input {name.rstrip(':')!r} is given twice")
        if name.endswith(":"):
            inputs[name[:-1]] = _json(value, text)
        elif value.startswith("@"):
            inputs[name] = _content(value[1:], text)
        else:
            inputs[name] = value
    return inputs


def _json(value: str, text: str) -> Json:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Refused(f"--input {text[:80]!r}: that is not JSON: {error}") from error


def _content(path: str, text: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_INPUT + 1)
    except OSError as error:
        raise Refused(f"--input {text[:80]!r}: cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_INPUT:
        most = MAX_INPUT >> 20
        raise Refused(f"--input {text[:80]!r}: {path} is larger than {most} MB; give its path")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"--input {text[:80]!r}: {path} is not UTF-8 text; give its path") from error

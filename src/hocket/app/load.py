"""Plans from files, with everything in them that depends on the file's own place settled."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

import msgspec

from hocket.app.adapters import adapter
from hocket.app.budgets import budget_problems
from hocket.app.needs import has_extra
from hocket.app.state import state_folder
from hocket.app.tools import described
from hocket.config.file import Loaded, read
from hocket.config.overrides import Overrides, overridden
from hocket.config.presets import FILE as PRESETS_FILE
from hocket.config.presets import known_presets
from hocket.core.errors import Problem, SpecError
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.values import Json
from hocket.workflows.check import problems

Where: TypeAlias = tuple[str | int, ...]

_AS_IT_IS = Overrides()


def load_file(path: str | Path) -> Loaded:
    """Read a file of plans; presets that its limits name are also looked for in the state folder.

    Raises:
        SpecError: It has mistakes, or the file of presets has; the lines say where.
    """
    presets = partial(known_presets, state_folder() / PRESETS_FILE)
    return read(path, presets=presets)._replace(place=str(Path(path).resolve()))


def load_plan(
    path: str | Path, plan: str | None = None, overrides: Overrides = _AS_IT_IS
) -> RunSpec:
    """Read a plan from a file.

    Commands run in the file's own folder unless their ``cwd`` says otherwise, and functions are
    found beside the file, so that it does not matter from where a run is started or resumed.

    Raises:
        SpecError: The file has mistakes, or a budget in it could not be kept; its lines say where.
        NotFound: There is no such plan in it, or no limit that is to be another.
        Refused: A limit cannot be read.
    """
    loaded = load_file(path)
    return settle(checked(loaded, plan, overrides), path, loaded)


def checked(loaded: Loaded, plan: str | None, overrides: Overrides = _AS_IT_IS) -> RunSpec:
    """Give the spec of a file's plan with other limits, if its limits make sense.

    Raises:
        SpecError: They don't, a budget could not be kept, or a script or a population has mistakes;
            its lines say where.
        NotFound: There is no such plan, or no limit that is to be another.
        Refused: A limit cannot be read.
    """
    spec = overridden(loaded.spec(plan), overrides, loaded)
    found = (problems(spec) if overrides else []) or _script_problems(spec)
    found = found or _population_problems(spec, loaded)
    if found := found or budget_problems(spec):
        raise loaded.mistakes(spec.name, found)
    return spec


def _script_problems(spec: RunSpec) -> list[Problem]:
    """Find what is wrong with scripts, which stand in a file as their agents have them."""
    found: list[Problem] = []
    for name, agent in spec.agents.items():
        if agent.kind != "scripted":
            continue
        try:
            adapter(agent.kind)(name, agent, state=Path(), live={})
        except SpecError as error:
            for one in error.problems:
                where = ("agents", name, "scripted", *one.where[2:])
                found.append(msgspec.structs.replace(one, where=where))
    return found


def _population_problems(spec: RunSpec, loaded: Loaded) -> list[Problem]:
    """Find what is wrong with populations, as far as it is known before their steps begin.

    Models are read for it where NumPy is installed; JAX is not needed.
    """
    runs = {name for name, agent in spec.agents.items() if agent.kind == "population"}
    if not runs or not has_extra("numpy"):
        return []
    foreseen = import_module("hocket.population.foreseen").foreseen
    folder = Path(loaded.place or loaded.source).parent
    return [
        msgspec.structs.replace(one, where=(*where, "input", *one.where))
        for where, step, first in _steps((), spec.workflow)
        if step.agent in runs and isinstance(step.input, dict)
        for one in foreseen(step.input, folder, first=first)
    ]


def _steps(
    where: Where, plan: PlanSpec, *, first: bool = True
) -> Iterator[tuple[Where, StepSpec, bool]]:
    """Give each step, those of nested plans too: its path, it, and if none is done before it."""
    for step in plan.steps:
        here, alone = (*where, "steps", step.name), first and not (step.needs or step.wants)
        yield here, step, alone
        if step.plan is not None:
            yield from _steps((*here, "plan"), step.plan, first=alone)


def settle(spec: RunSpec, path: str | Path, loaded: Loaded | None = None) -> RunSpec:
    """Settle everything in a file's spec that depends on where the file is.

    Functions that are tools are imported, unless the file says what they take.

    Args:
        spec: The spec.
        path: The file.
        loaded: The file as it was read, which knows the places of mistakes.

    Raises:
        SpecError: A function that is a tool cannot be found, or cannot be one.
    """
    if any(agent.tools for agent in spec.agents.values()):
        find_functions_beside(str(Path(path).resolve()))
        spec, found = described(spec)
        if found:
            raise SpecError(found) if loaded is None else loaded.mistakes(spec.name, found)
    folder = Path(path).resolve().parent
    agents = {name: _placed_agent(agent, folder) for name, agent in spec.agents.items()}
    return msgspec.structs.replace(
        spec,
        agents=agents,
        workflow=_placed_plan(spec.workflow, folder),
        source=str(Path(path).resolve()),
    )


def find_functions_beside(source: str) -> None:
    """Let functions be imported from the folder of a plan's file, as they are for a script."""
    folder = str(Path(source).parent)
    if source and folder not in sys.path:
        sys.path.insert(0, folder)


def _placed_agent(agent: AgentSpec, folder: Path) -> AgentSpec:
    told = agent.options
    if not (
        agent.kind in ("command", "population")
        or (agent.kind == "mcp" and "command" in told)
        or (agent.kind == "session" and ("cwd" in told or told.get("worktree") is True))
    ):
        return agent
    options: dict[str, Json] = {**agent.options, "cwd": _below(folder, agent.options.get("cwd"))}
    return msgspec.structs.replace(agent, options=options)


def _placed_plan(plan: PlanSpec, folder: Path) -> PlanSpec:
    return msgspec.structs.replace(plan, steps=tuple(_placed_step(s, folder) for s in plan.steps))


def _placed_step(step: StepSpec, folder: Path) -> StepSpec:
    if step.plan is not None:
        return msgspec.structs.replace(step, plan=_placed_plan(step.plan, folder))
    if "cwd" not in step.options:
        return step
    options = {**step.options, "cwd": _below(folder, step.options["cwd"])}
    return msgspec.structs.replace(step, options=options)


def _below(folder: Path, cwd: str | None) -> str:
    return str(folder if cwd is None else folder / Path(cwd).expanduser())

"""Planning runs: an agent gathers what there is, drafts a plan, and mends what is wrong with it.

A planning run is a run like any other: it is journalled, limited, watched and resumed.
What comes of it is a draft (`hocket.app.drafts`), which is checked and predicted, which people may
edit, and which runs only when somebody starts it.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

import msgspec

from hocket.app.drafts import mistakes, spec_of, staff
from hocket.app.engine import Engine
from hocket.app.gathering import MOST_READ, inventory
from hocket.app.host import Host
from hocket.app.load import load_file
from hocket.app.predict import predicted
from hocket.app.spot import load_spot
from hocket.config.drafts import (
    SCHEMA,
    Bar,
    Drafted,
    draft_text,
    plan_name,
    read_draft,
    reasons,
    text_digest,
)
from hocket.config.file import Loaded
from hocket.config.models import LocalAgent, ModelAgent, ScriptedAgent
from hocket.config.overrides import Overrides
from hocket.core.errors import NotFound, Refused, suggest
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec
from hocket.core.values import Json
from hocket.journal.base import Store

PLANNING: Final = "planning"
"""The name of every planning run's plan."""

_CONTEXT: Final = """\
Somebody else is going to plan the task below. Gather what they must know; plan nothing yourself.

The task:
{{inputs.task}}

The folder that it is about holds these files, each with its size in bytes:
{{inputs.files}}

Say in `about` what there is and how it bears on the task, in `files` which files the planner has to
see, at most {{inputs.most}} names from that list, in `facts` what is certain, and in `unknown` what
is not.
"""
_DRAFT: Final = """\
Draft a plan for this task.

The task:
{{inputs.task}}

What is known: {{context.about}}
Facts: {{context.facts}}
Not known: {{context.unknown}}

Files:
{{read}}

Each step is done by one of these agents, which see their prompt and nothing else:
{{inputs.staff}}

Steps begin as soon as those in their `needs` have succeeded, so name only what a step really needs.
Its prompt gets what an earlier step has given by that step's name in double braces.
Names of steps are letters, digits, - and _. Set `approve` where a person should look before a step
begins. Say in `confidence` honestly, from 0 to 1, how clear the task is, whether the context
suffices, whether the approach leads there, and whether these agents can do it; and in `risks` what
may go wrong, how severe that is, and what the plan does about it.
"""
_MEND: Final = """\
This draft of a plan has mistakes.

The task:
{{inputs.task}}

The agents:
{{inputs.staff}}

The draft:
{{draft}}

The mistakes:
{{check.problems}}

Give the whole plan again, without them.
"""
_CONTEXT_SCHEMA: Final[dict[str, Json]] = {
    "type": "object",
    "properties": {
        "about": {"type": "string", "maxLength": 8_000},
        "files": {"type": "array", "items": {"type": "string"}, "maxItems": MOST_READ},
        "facts": {"type": "array", "items": {"type": "string"}, "maxItems": 50},
        "unknown": {"type": "array", "items": {"type": "string"}, "maxItems": 50},
    },
    "required": ["about", "files", "facts", "unknown"],
    "additionalProperties": False,
}


def planner_of(loaded: Loaded, agent: str | None) -> str:
    """Give the agent that plans: the one that is named, or the file's first that can speak.

    Raises:
        NotFound: There is none.
    """
    agents = loaded.file.agents
    if agent is not None:
        if agent in agents:
            return agent
        hint = suggest(agent, agents) or f"there are {', '.join(agents) or 'none'}"
        raise NotFound(f"{loaded.source}: there is no agent {agent!r}; {hint}")
    for name, part in agents.items():
        if isinstance(part, ModelAgent | LocalAgent | ScriptedAgent) or "session" in (
            part.model_fields_set
        ):
            return name
    raise NotFound(f"{loaded.source} has no agent that could plan; state one under agents")


def planning_spec(loaded: Loaded, agent: str) -> RunSpec:
    """Give the spec of a planning run.

    Args:
        loaded: The operator's file.
        agent: Who plans.

    Raises:
        SpecError: The file's limits or budgets make no sense.
    """
    steps: dict[str, Json] = {
        "context": {"agent": agent, "prompt": _CONTEXT, "output": _CONTEXT_SCHEMA, "retry": 2},
        "read": {
            "call": "hocket.app.gathering:read_files",
            "with": {"folder": "{{inputs.folder}}", "names": "{{context.files}}"},
        },
        "draft": {"agent": agent, "prompt": _DRAFT, "output": SCHEMA, "retry": 2},
        "check": {
            "call": "hocket.app.planner:check_draft",
            "with": {"draft": "{{draft}}", "file": "{{inputs.source}}"},
        },
        "mend": {
            "agent": agent,
            "prompt": _MEND,
            "output": SCHEMA,
            "retry": 2,
            "when": "check.problems != []",
        },
    }
    names = ("task", "files", "most", "staff", "folder", "source")
    plan = {"inputs": {name: {} for name in names}, "steps": steps}
    tree: dict[str, Json] = {"version": 1, "agents": {}, "plans": {PLANNING: plan}}
    return load_spot(tree, PLANNING, loaded, Overrides())


def planning_inputs(loaded: Loaded, task: str, folder: Path) -> dict[str, Json]:
    """Give the inputs of a planning run.

    Args:
        loaded: The operator's file.
        task: What is to be planned.
        folder: The folder that it is about.

    Raises:
        Refused: There is no task, or no such folder.
    """
    if not task.strip():
        raise Refused("there is no task to plan: say in a sentence what is to be done")
    if not folder.is_dir():
        raise Refused(f"{folder} is no folder")
    return {
        "task": task,
        "files": inventory(folder),
        "most": MOST_READ,
        "staff": "\n".join(f"- {name}: {about}" for name, about in staff(loaded).items()),
        "folder": str(folder.resolve()),
        "source": str(Path(loaded.source).resolve()),
    }


def check_draft(draft: Json, file: str) -> dict[str, Json]:
    """Say what is wrong with a draft; a step of every planning run.

    Raises:
        Refused: It is no draft.
        SpecError: The operator's file has mistakes by now.
    """
    read = read_draft(draft)
    text = draft_text(read, Path(file).name, approve=False)
    return {"problems": [*mistakes(text, load_file(file))]}


def is_planning(machine: RunMachine) -> bool:
    """Tell whether a run is a planning run."""
    steps = {step.name for step in machine.spec.workflow.steps}
    return machine.spec.name == PLANNING and {"context", "draft", "check", "mend"} == steps - {
        "read"
    }


def drafted(engine: Engine, run: str, bar: Bar | None = None) -> Drafted:
    """Give what a planning run has come to.

    Args:
        engine: Whose state folder it is in.
        run: The planning run.
        bar: When a draft needs a person's approval.

    Raises:
        NotFound: There is no such run.
        Refused: It is no planning run.
        SpecError: The operator's file has mistakes by now.
    """
    machine = engine.fold(run)
    if not is_planning(machine):
        raise Refused(f"run {run} is no planning run; make one with: hocket plan TASK")
    reason = machine.end.reason if machine.end is not None else machine.pause_reason
    found = Drafted(run=run, status=machine.said, reason=reason)
    if machine.said != "succeeded":
        return found
    mended = machine.workflow.result("mend")
    draft = read_draft(mended if mended is not None else machine.workflow.result("draft"))
    source = str(machine.inputs["source"])
    why = tuple(reasons(draft, bar or Bar()))
    text = draft_text(draft, Path(source).name, approve=bool(why))
    return with_text(
        engine.journal, msgspec.structs.replace(found, draft=draft, why=why, file=source), text
    )


def with_text(store: Store, found: Drafted, text: str) -> Drafted:
    """Give a draft with another text, checked and predicted.

    Raises:
        SpecError: The operator's file has mistakes by now.
    """
    base = load_file(found.file)
    problems = tuple(mistakes(text, base))
    prediction = None
    if not problems:
        prediction = predicted(store, spec_of(text, base), {}, time.time_ns())
    return msgspec.structs.replace(
        found, text=text, digest=text_digest(text), problems=problems, prediction=prediction
    )


def ready_spec(found: Drafted, text: str, approved: str = "") -> RunSpec:
    """Give the spec that a draft's text runs as.

    Where the draft needs approval, the plan waits for it before it begins, unless exactly this
    text was approved.

    Args:
        found: The draft.
        text: Its text, as it may have been edited.
        approved: The digest of the text that a person has approved of, or "".

    Raises:
        Refused: There is no draft, or something else was approved.
        SpecError: The text has mistakes.
        NotFound: It has several plans.
    """
    if found.draft is None:
        raise Refused(f"run {found.run} has no draft: it is {found.status}")
    if approved and approved != text_digest(text):
        raise Refused("the plan's text is not the one that was approved; look at it again")
    spec = spec_of(text, load_file(found.file), approve=bool(found.why) and not approved)
    if not approved:
        return spec
    # The text asks for what it has got already.
    return msgspec.structs.replace(
        spec, workflow=msgspec.structs.replace(spec.workflow, approval=None)
    )


def suggested_name(found: Drafted) -> str:
    """Give a name for the file of a draft."""
    assert found.draft is not None
    return f"{plan_name(found.draft)}.yaml"


async def draft(
    host: Host, task: str, *, by: str, file: str | None = None, agent: str | None = None
) -> str:
    """Start a planning run on a host; gives its id.

    It is about the folder of the offered file whose agents it uses.

    Args:
        host: Who drives it.
        task: What is to be planned.
        by: Who asks.
        file: The offered file's name; by default the first one.
        agent: Who plans; by default the file's first agent that can.

    Raises:
        NotFound: There is no such file, or no such agent.
        SpecError: The file has mistakes.
        Refused: There is no task, or the host drives as many runs as it may.
        JournalError: It could not be recorded.
    """
    path = _offered(host, file)

    def prepare() -> tuple[RunSpec, dict[str, Json]]:
        loaded = load_file(path)
        spec = planning_spec(loaded, planner_of(loaded, agent))
        return spec, planning_inputs(loaded, task, path.parent)

    spec, inputs = await asyncio.to_thread(prepare)
    return await host.start_spec(spec, inputs, by=by)


async def start_draft(host: Host, found: Drafted, text: str, *, by: str, approved: str = "") -> str:
    """Run a draft's text on a host; gives the run's id.

    Args:
        host: Who drives it.
        found: The draft.
        text: Its text, as it may have been edited.
        by: Who asks.
        approved: The digest of the text that a person has approved of, or "".

    Raises:
        Refused: As `ready_spec`, or the host drives as many runs as it may.
        SpecError: The text has mistakes.
        NotFound: It has several plans.
        JournalError: It could not be recorded.
    """
    spec = await asyncio.to_thread(ready_spec, found, text, approved)
    return await host.start_spec(spec, {}, by=by)


def _offered(host: Host, file: str | None) -> Path:
    paths = {offer.file: offer.path for offer in host.offers()}
    if file is None and paths:
        return next(iter(paths.values()))
    if file is not None and file in paths:
        return paths[file]
    if not paths:
        raise NotFound("no file is offered here whose agents could plan: hocket serve hocket.yaml")
    hint = suggest(str(file), paths) or f"there are {', '.join(paths)}"
    raise NotFound(f"no file {file!r} is offered here; {hint}")

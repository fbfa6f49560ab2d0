"""Commands about files: ``init``, ``check``, ``schema``."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from hocket.app.budgets import uncounted
from hocket.app.load import checked, load_file
from hocket.app.needs import missing
from hocket.app.predict import predicted
from hocket.app.simulate_file import check_simulate
from hocket.app.state import state_folder
from hocket.cli.main import EXIT_USAGE
from hocket.cli.options import FILE, BudgetOf, Deadline, Inputs, Limits, Priority, Weight
from hocket.cli.output import counted
from hocket.cli.shown import SHOWN
from hocket.cli.start import read_inputs
from hocket.cli.templates import TEMPLATES
from hocket.config.file import Loaded
from hocket.config.overrides import Overrides
from hocket.config.schema import file_schema
from hocket.core.errors import Refused, SpecError, suggest
from hocket.core.specs import AgentSpec, RunSpec
from hocket.core.values import Json
from hocket.forecast.predict import Prediction
from hocket.journal.sqlite import SqliteJournal
from hocket.report.prediction import prediction_data, prediction_lines
from hocket.workflows.shape import Shape

_PLACE: Final = re.compile(r"(.+?):(\d+):(\d+): (.*)", re.DOTALL)
SCHEMA_FILE = "hocket.schema.json"


def init(
    folder: Annotated[Path, SHOWN] = Path(),
    /,
    *,
    template: Annotated[
        str,
        Parameter(
            help="What it begins with. [choices: commands, functions, local, model]",
            show_default=True,
        ),
    ] = "commands",
    force: Annotated[bool, Parameter(help="Write over what is there.", negative=())] = False,
) -> int:
    """Write a hocket.yaml to begin with, and its schema for editors.

    Args:
        folder: Where to; it is made if it is not there.
    """
    if template not in TEMPLATES:
        hint = suggest(template, TEMPLATES) or f"there are {', '.join(TEMPLATES)}"
        raise Refused(f"there is no template {template!r}; {hint}")
    made = {**TEMPLATES[template], SCHEMA_FILE: _schema_text()}
    there = [name for name in made if (folder / name).exists() and name != SCHEMA_FILE]
    if there and not force:
        raise Refused(f"{folder / there[0]} is there already; --force writes over it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (folder / name).write_text(text, encoding="utf-8")
            print(f"wrote {folder / name}")
    except OSError as error:
        raise Refused(f"cannot write into {folder}: {error.strerror or error}") from error
    print(f"next: hocket run {folder / FILE if folder != Path() else ''}".rstrip())
    return 0


def check(
    file: Annotated[Path, SHOWN] = Path(FILE),
    plan: str | None = None,
    /,
    *,
    limit: Limits | None = None,
    budget: BudgetOf | None = None,
    priority: Priority | None = None,
    weight: Weight | None = None,
    deadline: Deadline | None = None,
    predict: Annotated[
        bool, Parameter(help="Say when a run would end, and what binds it.", negative=())
    ] = False,
    input_: Inputs | None = None,
    json_: Annotated[
        bool, Parameter(name="--json", help="One JSON document for programs.", negative=())
    ] = False,
) -> int:
    """Find every mistake in a file, and what its runs will lack, without running it.

    With --predict it says from what earlier runs took when a run would end, which limit it would
    wait for most, and what it would cost.
    With --json mistakes are data, too: file, line, column, message and hint of each.

    Args:
        file: The file.
        plan: Only this plan.
    """
    overrides = Overrides(limit or (), budget, priority, weight, deadline)
    try:
        return _checked(file, plan, overrides, input_ or (), predict=predict, json_=json_)
    except SpecError as error:
        if not json_:
            raise
        print(json.dumps({"mistakes": _mistakes(error)}, indent=2))
        return EXIT_USAGE


def _checked(
    file: Path,
    plan: str | None,
    overrides: Overrides,
    inputs: Sequence[str],
    *,
    predict: bool,
    json_: bool,
) -> int:
    loaded = load_file(file)
    if plan is not None and plan not in loaded.plans() and Path(plan).exists():
        raise Refused(f"{plan}: a file is checked by itself; a second word names a plan of {file}")
    specs = [checked(loaded, name, overrides) for name in ([plan] if plan else loaded.plans())]
    check_simulate(loaded)
    given = read_inputs(inputs)
    if given and not predict:
        raise Refused("--input is for --predict: a check needs no inputs")
    now = time.time_ns()
    foreseen = _foresee(specs, given, now) if predict else {}
    if json_:
        found = [_document(spec) | _forecast(foreseen.get(spec.name), now) for spec in specs]
        print(json.dumps(found, indent=2))
        return 0
    missed: set[str] = set()
    for spec in specs:
        about = _document(spec)
        missed.update(about["missing"])
        speakers = [name for name, one in spec.agents.items() if _is_agent(name, one, loaded)]
        size = f"{counted(about['steps'], 'step')}, longest chain {about['longest_chain']}"
        team = f", {counted(len(speakers), 'agent')}" if speakers else ""
        print(f"{file}: plan {about['plan']}: {size}{team}")
        if about["inputs"]:
            print(f"  inputs: {', '.join(about['inputs'])}")
        for line in about["missing"]:
            print(f"  missing: {line}")
        for line in about["notes"]:
            print(f"  note: {line}")
        if spec.name in foreseen:
            for line in prediction_lines(foreseen[spec.name], now):
                print(f"  {line}")
    things = "1 thing that runs need is" if len(missed) == 1 else f"{len(missed)} things are"
    print("no mistakes" + (f" in the file, but {things} missing" if missed else ""))
    return 0


def _mistakes(error: SpecError) -> list[dict[str, Any]]:
    """Give mistakes as data; one that has no place in a file has neither line nor column."""
    hints = {f"{one.message}; {one.hint}": one for one in error.problems if one.hint}
    found = []
    for line in error.lines:
        place = _PLACE.match(line)
        file, said = (place[1], place[4]) if place else ("", line)
        if not place and len(error.problems) == 1:
            said = error.problems[0].message
            file = line.removesuffix(said).rstrip(": ")
        about = hints.get(said)
        found.append(
            {
                "file": file,
                "line": int(place[2]) if place else None,
                "column": int(place[3]) if place else None,
                "message": about.message if about else said,
                "hint": about.hint if about else "",
            }
        )
    return found


def _is_agent(name: str, about: AgentSpec, loaded: Loaded) -> bool:
    """Tell agents from the commands, functions and populations that are written within steps."""
    return name in loaded.file.agents or about.kind in ("model", "local", "scripted", "session")


def _foresee(specs: Sequence[RunSpec], inputs: dict[str, Json], now: int) -> dict[str, Prediction]:
    with SqliteJournal(state_folder()) as store:
        return {spec.name: predicted(store, spec, _of_plan(spec, inputs), now) for spec in specs}


def _of_plan(spec: RunSpec, inputs: dict[str, Json]) -> dict[str, Json]:
    known = spec.workflow.inputs
    for name in inputs:
        if name not in known:
            hint = suggest(name, known) or "it takes " + (", ".join(known) or "none")
            raise Refused(f"plan {spec.name!r} has no input {name!r}; {hint}")
    return inputs


def _forecast(found: Prediction | None, now: int) -> dict[str, Any]:
    return {} if found is None else {"prediction": prediction_data(found, now)}


def schema() -> int:
    """Print the JSON Schema of hocket.yaml, for editors."""
    print(_schema_text(), end="")
    return 0


def _schema_text() -> str:
    return json.dumps(file_schema(), indent=2, ensure_ascii=False) + "\n"


def _document(spec: RunSpec) -> dict[str, Any]:
    shape = Shape(spec.workflow, spec.agents)
    inputs = [n if about.required else f"{n}?" for n, about in spec.workflow.inputs.items()]
    return {
        "plan": spec.name,
        "steps": len(shape.nodes),
        "longest_chain": _longest_chain(shape),
        "agents": sorted(spec.agents),
        "inputs": inputs,
        "missing": missing(spec),
        "notes": uncounted(spec),
    }


def _longest_chain(shape: Shape) -> int:
    """Count the steps of the longest chain; no schedule can have fewer one behind the other."""
    depth = [0] * len(shape.nodes)
    for node in shape.in_order():
        depth[node.index] = 1 + max((depth[i] for i in (*node.needs, *node.wants)), default=0)
    return max(depth, default=0)

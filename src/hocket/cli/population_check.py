"""The command ``population check``: what a model is, what it takes, and what is wrong with it."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from hocket.cli.options import AsJson
from hocket.cli.output import pretty
from hocket.core.errors import SpecError
from hocket.population.settings import need_extra
from hocket.report.text import clean


def check(
    model: Annotated[Path, Parameter(help="The file: .gmn, .json (GMN in JSON) or .npz.")],
    /,
    *,
    json_: AsJson = False,
) -> int:
    """Find every mistake in a model, and what is odd about it, without running it.

    It says how large the model is, and what it takes in memory, once for all agents.
    It needs NumPy, and not JAX.
    Exit status 0 if there is no mistake; what is odd, and may be meant, is none.
    """
    need_extra(("numpy",))
    try:
        reading = import_module("hocket.population.model_files").read_model(model)
    except SpecError as error:
        if not json_:
            raise
        print(pretty({"file": str(model), "remarks": _mistakes(error)}))
        return 2
    about = import_module("hocket.population.sums").sums_of(reading.model)
    remarks = [
        {
            "kind": remark.kind,
            "place": reading.place(remark.where),
            "message": remark.message,
            "hint": remark.hint,
        }
        for remark in reading.remarks
    ]
    wrong = any(remark["kind"] == "error" for remark in remarks)
    if json_:
        print(pretty({"file": str(model), **about, "remarks": remarks}))
        return 2 if wrong else 0
    for line in _lines(str(model), about):
        print(clean(line))
    for remark in remarks:
        kind = "" if remark["kind"] == "error" else "warning: "
        hint = f"; {remark['hint']}" if remark["hint"] else ""
        print(clean(f"{remark['place']}: {kind}{remark['message']}{hint}"), file=sys.stderr)
    if not wrong:
        print("no mistakes")
    return 2 if wrong else 0


def _mistakes(error: SpecError) -> list[dict[str, str]]:
    """Give mistakes as remarks; a line says where each is, and then what."""
    remarks = []
    for problem, line in zip(error.problems, error.lines, strict=True):
        said = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
        remarks.append(
            {
                "kind": "error",
                "place": line.removesuffix(said).rstrip(": "),
                "message": problem.message,
                "hint": problem.hint,
            }
        )
    return remarks


def _lines(file: str, about: dict[str, Any]) -> list[str]:
    plans, memory = about["policies"], about["memory"]
    lines = [
        f"{file}: {_count(plans['count'], 'policy', 'policies')} of "
        f"{_count(plans['steps'], 'step', 'steps')}, inference {about['inference']}"
    ]
    for factor in about["factors"]:
        moved = _count(factor["actions"], "action", "actions")
        others = [name for name in factor["depends_on"] if name != factor["name"]]
        depends = f", depends on {', '.join(others)}" if others else ""
        states = _count(factor["states"], "state", "states")
        lines.append(f"  factor {factor['name']}: {states}, {moved}, {factor['kept_as']}{depends}")
    for modality in about["modalities"]:
        seen = _count(modality["observations"], "observation", "observations")
        depends = ", ".join(modality["depends_on"])
        lines.append(f"  modality {modality['name']}: {seen}, depends on {depends}")
    kept, tables = _bytes(memory["kept"]), _bytes(memory["as_tables"])
    lines.append(f"  memory: {kept}, once for all agents; {tables} with every B as a table")
    lines.append(f"  memory of each agent's belief: {_bytes(memory['belief'])}")
    return lines


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} B"

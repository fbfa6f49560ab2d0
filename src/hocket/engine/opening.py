"""The first event of a run, which holds all that it needs."""

from __future__ import annotations

from collections.abc import Mapping

from hocket._version import __version__
from hocket.core.errors import Refused, suggest
from hocket.core.events import RunStarted
from hocket.core.specs import RunSpec, spec_digest
from hocket.core.values import Json

PROGRAM = f"hocket {__version__}"


def first_of(
    spec: RunSpec,
    inputs: dict[str, Json],
    *,
    run: str,
    seed: int,
    versions: dict[str, int],
    at: int,
) -> RunStarted:
    """Give the first event of a run.

    Args:
        spec: What to do; it has been checked.
        inputs: The workflow's inputs.
        run: The run's id.
        seed: Where jitter comes from.
        versions: The versions of the rules that it is judged by.
        at: The present instant.

    Raises:
        Refused: An input is missing or unknown.
    """
    check_inputs(spec, inputs)
    return RunStarted(
        at=at,
        run=run,
        spec=spec,
        digest=spec_digest(spec),
        inputs=inputs,
        seed=seed,
        versions=versions,
        program=PROGRAM,
    )


def check_inputs(spec: RunSpec, inputs: Mapping[str, Json]) -> None:
    """Check that a run is given the inputs that its workflow asks for.

    Raises:
        Refused: One is missing or unknown.
    """
    known = spec.workflow.inputs
    for name in inputs:
        if name not in known:
            hint = suggest(name, known) or "it takes " + (", ".join(known) or "none")
            raise Refused(f"plan {spec.name!r} has no input {name!r}; {hint}")
    missing = [name for name, value in known.items() if value.required and name not in inputs]
    if missing:
        raise Refused(f"plan {spec.name!r} needs the input {', '.join(map(repr, missing))}")

"""Options that several commands have: what a run is told, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import Parameter, validators

from hocket.config.overrides import Overrides
from hocket.core.errors import Refused
from hocket.core.values import parse_duration
from hocket.forecast.search import BUDGET

FILE: Final = "hocket.yaml"

Inputs = Annotated[
    list[str],
    Parameter(name=["--input", "-i"], negative=(), help="NAME=TEXT, NAME:=JSON or NAME=@FILE."),
]
Plain = Annotated[bool, Parameter(help="Plain lines, also on a terminal.", negative=())]
Quiet = Annotated[bool, Parameter(name=["--quiet", "-q"], help="Only the result.", negative=())]
AsJson = Annotated[
    bool, Parameter(name="--json", help="The result as one JSON document.", negative=())
]
Jsonl = Annotated[bool, Parameter(help="Every event as a line of JSON.", negative=())]
NoWait = Annotated[
    bool, Parameter(help="Stop, resumably, when only people are waited for.", negative=())
]
Limits = Annotated[
    list[str],
    Parameter(
        name="--limit",
        negative=(),
        help="A limit other than the file's, as flash.requests=15/min; repeatable.",
    ),
]
BudgetOf = Annotated[
    str, Parameter(name="--budget", help="Dollars of the run, as 1.00, or of a day, as 5/day.")
]
Priority = Annotated[int, Parameter(help="Runs of a higher one go first.")]
Weight = Annotated[float, Parameter(help="The share beside runs of the same priority.")]
Cluster = Annotated[
    str | None,
    Parameter(help="Calls are done on this cluster of Ray: auto, HOST:PORT, ray://…, or local."),
]
Deadline = Annotated[str, Parameter(help="When it should be over, as 10m; nearer ones go first.")]


def age(older_than: str) -> int:
    """Read the value of ``--older-than``.

    Raises:
        Refused: It is no duration.
    """
    try:
        return parse_duration(older_than)
    except ValueError as error:
        raise Refused(f"--older-than: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Begin:
    """What every command can be told that begins a run; its options are those of the command."""

    run_id: Annotated[
        str | None, Parameter(name="--id", help="The new run's id; else one is made.")
    ] = None
    max_parallel: Annotated[
        int | None,
        Parameter(
            help="The most calls at once; else as the plan says.",
            validator=validators.Number(gte=1),
        ),
    ] = None
    limit: Limits | None = None
    budget: BudgetOf | None = None
    priority: Priority | None = None
    weight: Weight | None = None
    deadline: Deadline | None = None
    look_ahead: Annotated[
        int,
        Parameter(
            help="Events that a look for a better order may simulate; 0 for none.",
            validator=validators.Number(gte=0),
        ),
    ] = BUDGET
    seed: Annotated[int | None, Parameter(help="Where jitter comes from; else drawn.")] = None
    memory: Annotated[bool, Parameter(help="Keep no journal on disk.", negative=())] = False
    cluster: Cluster = None
    no_wait: NoWait = False
    plain: Plain = False
    quiet: Quiet = False
    json_: AsJson = False
    jsonl: Jsonl = False

    @property
    def overrides(self) -> Overrides:
        """What the run is to have otherwise than its file."""
        return Overrides(self.limit or (), self.budget, self.priority, self.weight, self.deadline)


BEGIN: Final = Begin()
Beginning = Annotated[Begin, Parameter(name="*")]

"""Plans stated on the spot, with the agents, models, tools and limits of a file beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from hocket.agents.providers import unknown_provider
from hocket.app.load import checked, settle
from hocket.config.file import Loaded
from hocket.config.messages import to_problem
from hocket.config.models import FilePart
from hocket.config.overrides import Overrides
from hocket.core.errors import Problem, Refused, SpecError
from hocket.core.specs import RunSpec
from hocket.core.values import Json
from hocket.workflows.check import problems

SPOT: Final = "(command line)"
"""Stands in place of a file's name where a plan was stated on the spot."""


def load_spot(
    tree: Mapping[str, Json], name: str, loaded: Loaded | None, overrides: Overrides
) -> RunSpec:
    """Give the spec of a plan stated on the spot.

    Args:
        tree: The data of a file with that plan and the agents that it brings along.
        name: The plan.
        loaded: The file whose agents it may use.
        overrides: What is to be otherwise.

    Raises:
        Refused: Something that was stated makes no sense; the message names the option.
        SpecError: The plan makes no sense.
        NotFound: There is no limit that is to be another.
    """
    theirs = {} if loaded is None or loaded.document is None else loaded.document.tree
    agents = {**theirs.get("agents", {}), **tree["agents"]}
    whole = {**theirs, **tree, "agents": agents}
    try:
        file = FilePart.model_validate(whole)
    except ValidationError as error:
        found = [to_problem(one, whole) for one in error.errors(include_url=False)]
        raise Refused("\n".join([_told(problem) for problem, _ in found])) from None
    if loaded is None:
        joined = Loaded(file, SPOT)
    else:
        joined = loaded._replace(file=file, document=None)
    spec = checked(joined, name, overrides)
    for brought in tree["agents"]:
        about = spec.agents.get(brought)
        said = "" if about is None else unknown_provider(str(about.options.get("model", "")))
        # A model of the file's own may have an address of its own, where any name will do.
        if about is not None and said and not about.options.get("base_url"):
            raise Refused(said)
    if wrong := problems(spec):
        raise SpecError(wrong, [_message(problem) for problem in wrong])
    return spec if loaded is None else settle(spec, Path(loaded.source).parent / SPOT)


def on_the_spot(source: str) -> bool:
    """Tell whether a run's plan was stated on the spot, so that it has no file to go back to."""
    return Path(source).name == SPOT


def _told(problem: Problem) -> str:
    """Name the option that a problem of shape is about."""
    names = [part for part in problem.where if isinstance(part, str)]
    message = _message(problem)
    if not names:
        return message
    name = names[-1]
    return f"--{name.replace('_', '-')}: {message.removeprefix(f'{name}: ')}"


def _message(problem: Problem) -> str:
    return f"{problem.message}{f'; {problem.hint}' if problem.hint else ''}"

"""The plans that the operator offers: what they take, and what is expected of a run."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hocket.app.offers import Offer
from hocket.core.errors import CallerError, NotFound, suggest
from hocket.core.specs import spec_digest
from hocket.core.values import Json
from hocket.server.routing import Asked, Route
from hocket.server.site import Site
from hocket.workflows.shape import Shape

_MOST: Final = 64 << 10
"""The most bytes of a check's body: its inputs become arguments of a command."""


class InputAbout(msgspec.Struct, frozen=True, kw_only=True):
    """An input of a plan.

    Fields:
        required: Whether a run must give it.
        default: Its value where it is not given.
        about: What it means.
    """

    required: bool
    default: Json
    about: str


class PlanAbout(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that may be started.

    Fields:
        file: The name of its file.
        plan: Its name; "" where the file cannot be read.
        inputs: What it takes.
        steps: How many steps it has, those of nested plans among them.
        digest: Names the spec by content; "" where it has problems.
        problems: Why it cannot be started.
    """

    file: str
    plan: str
    inputs: dict[str, InputAbout]
    steps: int
    digest: str
    problems: list[str]


class Plans(msgspec.Struct, frozen=True, kw_only=True):
    """The plans that may be started.

    Fields:
        plans: The plans.
    """

    plans: list[PlanAbout]


class CheckBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What would be started.

    Fields:
        file: The offered file's name.
        plan: The plan's name.
        inputs: The plan's inputs.
    """

    file: str
    plan: str
    inputs: dict[str, Json] = {}


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a plan, and what is expected of a run.

    Fields:
        problems: Why it cannot be started, or what it will lack.
        prediction: As ``hocket check --predict --json`` has it; None where there are problems.
    """

    problems: list[str]
    prediction: dict[str, Any] | None


async def _plans(site: Site, asked: Asked) -> Plans:
    return Plans(plans=[_about(offer) for offer in site.host.offers()])


def _about(offer: Offer) -> PlanAbout:
    spec = offer.spec
    return PlanAbout(
        file=offer.file,
        plan=offer.plan,
        inputs={
            name: InputAbout(required=one.required, default=one.default, about=one.about)
            for name, one in offer.inputs.items()
        },
        steps=0 if spec is None else len(Shape(spec.workflow, spec.agents).nodes),
        digest="" if spec is None else spec_digest(spec),
        problems=list(offer.problems),
    )


async def _check(site: Site, asked: Asked) -> Checked:
    body: CheckBody = asked.body
    offers = {(offer.file, offer.plan): offer for offer in site.host.offers()}
    offer = offers.get((body.file, body.plan))
    if offer is None:
        raise NotFound(f"no plan {body.plan[:100]!r} of a file {body.file[:100]!r} is offered here")
    if offer.spec is None:
        return Checked(problems=list(offer.problems), prediction=None)
    try:
        args = ["check", "--predict", *_given(offer, body.inputs)]
        found = await site.cli([*args, "--", str(offer.path), offer.plan])
    except CallerError as error:
        return Checked(problems=str(error).splitlines(), prediction=None)
    return Checked(problems=found[0]["missing"], prediction=found[0]["prediction"])


def _given(offer: Offer, inputs: dict[str, Json]) -> list[str]:
    """Write inputs as options, each one argument whose name the plan has.

    Raises:
        CallerError: The plan has no such input.
    """
    for name in inputs:
        if name not in offer.inputs:
            hint = suggest(name[:100], offer.inputs) or "it takes " + ", ".join(offer.inputs)
            raise CallerError(f"plan {offer.plan!r} has no input {name[:100]!r}; {hint}")
    return [f"--input={name}:={msgspec.json.encode(v).decode()}" for name, v in inputs.items()]


ROUTES: Final = [
    Route(
        method="GET",
        path="/api/plans",
        role="view",
        handler=_plans,
        about="The plans that may be started here.",
        gives=Plans,
    ),
    Route(
        method="POST",
        path="/api/plans/check",
        role="view",
        handler=_check,
        about="Say what is wrong with a plan, and what is expected of a run of it.",
        body=CheckBody,
        gives=Checked,
        most=_MOST,
        computes=True,
    ),
]

"""The shape of what calls need of a machine, in a file."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from hocket.config.basics import Names, Strict
from hocket.config.place import check_gpu, check_tags, place_spec, read_size
from hocket.core.specs import PlaceSpec

_SIZE_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "string", "pattern": r"^\d+(\.\d+)? ?(kB|KB|MB|GB|TB)$"},
        {"type": "integer", "minimum": 0},
    ],
    "description": "Memory that each call has for itself: bytes, or a text like 16GB.",
}
Size: TypeAlias = Annotated[
    Annotated[int, Field(ge=0)], BeforeValidator(read_size), WithJsonSchema(_SIZE_SCHEMA)
]


class PlacePart(Strict):
    """What calls need of the machine that does them, on a cluster; elsewhere it says nothing."""

    gpu: Annotated[
        float,
        AfterValidator(check_gpu),
        Field(ge=0, description="GPUs that each call has for itself; 0.5 is half of one."),
    ] = 0
    cpu: Annotated[
        float, Field(ge=0, description="Processor cores that each call has for itself.")
    ] = 0
    memory: Size = 0
    tag: Annotated[
        Names,
        AfterValidator(check_tags),
        Field(description="Tags that a node must have: it was started with tag:NAME."),
    ] = []


Places: TypeAlias = Annotated[
    PlacePart | None, Field(description="What its calls need of a machine, on a cluster.")
]


def place_of(about: PlacePart | None) -> PlaceSpec | None:
    """Give what is needed as the spec has it; None if nothing is."""
    return None if about is None else place_spec(about.gpu, about.cpu, about.memory, about.tag)

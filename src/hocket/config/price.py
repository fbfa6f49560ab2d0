"""What a model's tokens cost, as a file says it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hocket.config.basics import Strict


class PricePart(Strict):
    """Dollars for a million tokens."""

    in_: Annotated[float, Field(alias="in", ge=0)]
    out: Annotated[float, Field(ge=0)]
    cached: Annotated[
        float | None,
        Field(ge=0, description="Those read from the provider's own cache; else as others."),
    ] = None

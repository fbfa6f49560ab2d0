"""Asks a model what a text means: one request to an endpoint that speaks as OpenAI's does.

The client packages are imported at the first text, in a thread, as those of `model` agents are.
"""

from __future__ import annotations

import asyncio
import os
from array import array
from collections.abc import Mapping, Sequence
from operator import mul
from typing import Any, Final

import msgspec

from hocket.agents.faults import fault_of, secrets_of
from hocket.agents.output import fault
from hocket.agents.prices import read_usage
from hocket.core.errors import AgentError
from hocket.core.events import Usage
from hocket.core.values import Json

TIMEOUT: Final = 10.0
"""Seconds; what takes longer than that saves nobody's time."""

_HOME_KEY: Final = "OPENAI_API_KEY"
# The client wants some key, and would otherwise take the one above and hand it to a stranger.
_NO_KEY: Final = "none-needed"


class Meaning(msgspec.Struct, frozen=True):
    """What a text means.

    Fields:
        vector: 32-bit floats of length 1.
        usage: What it took to find out.
    """

    vector: bytes
    usage: Usage | None = None


class Place(msgspec.Struct, frozen=True):
    """Where a model is asked."""

    base_url: str | None
    key_env: str | None


class Embedder:
    """Asks models what texts mean; has one client for each place."""

    def __init__(self) -> None:
        self._connecting: dict[Place, asyncio.Task[Any]] = {}

    async def __call__(self, embed: Mapping[str, Json], text: str) -> Meaning:
        """Find out what a text means.

        Args:
            embed: ``{model: …, base_url: …, key_env: …}``; the last two may be left out.
            text: The text.

        Raises:
            AgentError: The key, the package or the model is missing, or the request failed.
        """
        model = str(embed["model"]).removeprefix("openai:")
        place = Place(embed.get("base_url"), embed.get("key_env"))
        key = _key(place)
        failed: Exception
        try:
            client = await self._client(place, key)
            answer = await client.embeddings.create(
                model=model, input=text, encoding_format="float"
            )
            vector = unit(answer.data[0].embedding)
        except AgentError:
            raise
        except Exception as error:
            failed = error
        else:
            tokens = getattr(getattr(answer, "usage", None), "prompt_tokens", None)
            url, own_url = place.base_url or str(client.base_url), place.base_url is not None
            return Meaning(vector, read_usage(tokens, model=model, url=url, own_url=own_url))
        # Raised outside, so that the client's error, which holds headers, is not tied to ours.
        raise fault_of(failed, model, secrets_of(key))

    async def close(self) -> None:
        """Close the clients."""
        connecting = list(self._connecting.values())
        self._connecting.clear()
        for made in await asyncio.gather(*connecting, return_exceptions=True):
            if not isinstance(made, BaseException):
                await made.close()

    async def _client(self, place: Place, key: str) -> Any:
        """Give the client of a place; the first texts share the wait for the imports."""
        known = self._connecting.get(place)
        if known is None or (known.done() and (known.cancelled() or known.exception())):
            work = asyncio.to_thread(_connect, place, key)
            known = self._connecting[place] = asyncio.create_task(work)
        return await asyncio.shield(known)


def unit(numbers: Sequence[float]) -> bytes:
    """Give a vector the length 1, as 32-bit floats.

    Raises:
        AgentError: ``invalid_output``: It has no direction.
    """
    length = sum(map(mul, numbers, numbers)) ** 0.5
    if not 0 < length < float("inf"):
        raise fault("invalid_output", "the model gave a vector of no direction")
    return array("f", [number / length for number in numbers]).tobytes()


def _key(place: Place) -> str:
    if place.key_env is None and place.base_url is not None:
        return _NO_KEY
    variable = place.key_env or _HOME_KEY
    key = os.environ.get(variable, "").strip()
    if not key:
        raise fault(
            "permanent", f"the environment variable {variable} is not set; it is to hold the key"
        )
    return key


def _connect(place: Place, key: str) -> Any:
    try:
        from openai import AsyncOpenAI
    except ImportError:
        what = "to compare questions takes an extra: pip install 'hocket[models]'"
        raise fault("permanent", what) from None
    # Whoever is refused asks the question itself: there is nothing to wait for.
    return AsyncOpenAI(api_key=key, base_url=place.base_url, max_retries=0, timeout=TIMEOUT)

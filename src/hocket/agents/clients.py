"""The clients of models, kept from run to run: to make one takes 20 ms of the processor or more.

The first makes Python import what it needs, and every one reads the certificates that it trusts.
Whoever is asked again in time is reached over the connection that is open still.
"""

from __future__ import annotations

import asyncio
import os
from typing import TypeAlias

from hocket.agents.model_client import Client, connect

Making: TypeAlias = asyncio.Task[Client]
_Key: TypeAlias = tuple[str, str | None, str | None, int]


class Clients:
    """Clients by what they are made of; for one event loop, and to be closed in it."""

    def __init__(self) -> None:
        self._making: dict[_Key, Making] = {}

    def prepare(
        self, model: str, base_url: str | None, key_env: str | None
    ) -> asyncio.Task[Client]:
        """Begin to make a client, in a thread, if it is not there; one that failed is made anew."""
        # Keys stand in the environment, and which of them a provider takes is its own affair.
        key = (model, base_url, key_env, hash(frozenset(os.environ.items())))
        making = self._making.get(key)
        if making is None or (making.done() and not _good(making)):
            work = _make(model, base_url, key_env)
            making = self._making[key] = asyncio.create_task(work)
        return making

    async def get(self, model: str, base_url: str | None, key_env: str | None) -> Client:
        """Give a client; all who ask for it share the wait.

        Raises:
            AgentError: ``permanent``: it cannot be made.
        """
        return await asyncio.shield(self.prepare(model, base_url, key_env))

    async def close(self) -> None:
        """Close all clients."""
        making = list(self._making.values())
        self._making.clear()
        if not making:
            return
        # What runs in a thread cannot be stopped: wait, so that nothing stays open behind us.
        await asyncio.wait(making)
        for made in making:
            if _good(made):
                await made.result().provider.__aexit__(None, None, None)


async def _make(model: str, base_url: str | None, key_env: str | None) -> Client:
    client = await asyncio.to_thread(connect, model, base_url, key_env)
    await client.provider.__aenter__()
    return client


def _good(making: Making) -> bool:
    return not making.cancelled() and making.exception() is None

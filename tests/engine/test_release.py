"""A run that has ended is let go of at once: a server that drives many must not wait for rings."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
from tests.config.texts import load_text

from hocket.app.engine import Engine

pytestmark = pytest.mark.anyio

FILE = """
version: 1
agents: {a: {scripted: {}}}
plans: {p: {steps: {one: {agent: a, prompt: x}, two: {agent: a, prompt: "{{one}}"}}}}
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("memory", [True, False])
async def test_nothing_of_a_run_stays_when_it_has_ended(tmp_path: Path, memory: bool) -> None:
    async with Engine(tmp_path, memory=memory, look_ahead=0) as engine:

        async def whole() -> list[weakref.ref[object]]:
            run = await engine.begin(load_text(FILE), {})
            kept = [weakref.ref(run.machine), weakref.ref(run._driven._runner)]
            async with run:
                assert (await run.result()).output == "x"
            return kept

        await whole()
        gc.collect()
        gc.disable()
        try:
            kept = await whole()
            assert [one() for one in kept] == [None, None]
        finally:
            gc.enable()

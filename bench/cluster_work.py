"""What workers do in `cluster_calls.py`."""

from __future__ import annotations

import asyncio


async def nap(seconds: float = 0.0) -> int:
    await asyncio.sleep(seconds)
    return 1

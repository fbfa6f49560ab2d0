"""Makes session agents for tests: real CLIs beside a model on the loopback, and the fakes."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hocket.agents.session import SessionAgent
from hocket.agents.session_pools import SessionPools
from hocket.core.specs import AgentSpec
from hocket.core.values import Json

HERE = Path(__file__).parent
FAKES = {
    kind: [sys.executable, "-S", str(HERE / f"fake_{kind}.py")] for kind in ("claude", "codex")
}
"""Programs that speak the protocols and misbehave where a prompt says so."""


def session_agent(state: Path, pools: SessionPools | None = None, **options: Json) -> SessionAgent:
    """Make a session agent of these options."""
    spec = AgentSpec(kind="session", options=options)
    return SessionAgent("coder", spec, state=state, live={}, pools=pools)


def real(kind: str) -> str | None:
    """Find a real CLI: by ``HOCKET_TEST_CLAUDE`` or ``HOCKET_TEST_CODEX``, or on the PATH."""
    return os.environ.get(f"HOCKET_TEST_{kind.upper()}") or shutil.which(kind)


def home(folder: Path, url: str) -> dict[str, str]:
    """Make a home folder whose CLIs ask the model at `url`, and give the variables for it."""
    (folder / ".codex").mkdir(parents=True, exist_ok=True)
    (folder / ".codex" / "config.toml").write_text(
        'model = "gpt-5.2"\nmodel_provider = "mock"\n[model_providers.mock]\nname = "mock"\n'
        f'base_url = "{url}/v1"\nwire_api = "responses"\n'
    )
    return {
        "HOME": str(folder),
        "ANTHROPIC_BASE_URL": url,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def options_of(kind: str, program: str, variables: dict[str, str], **more: Any) -> dict[str, Any]:
    """Give the options of a real CLI in such a home."""
    return {
        "session": kind,
        "command": [program],
        "env": variables,
        "env_pass": ["ANTHROPIC_API_KEY"],
        **more,
    }


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to hold")

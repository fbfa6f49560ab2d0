"""Fetches the demo model's weights before a run that needs them, with a progress bar."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from hocket.agents.weights import fetch, present
from hocket.core.specs import RunSpec


def fetch_weights(spec: RunSpec) -> None:
    """Fetch the weights if a local agent needs them and they are not there yet.

    Raises:
        AgentError: They cannot be had; the message says what to do.
    """
    if not any(agent.kind == "local" for agent in spec.agents.values()) or present():
        return
    print("fetching the demo model SmolLM2-135M (93 MB, once)", file=sys.stderr)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        task = bar.add_task("weights", total=None)
        fetch(lambda done, total: bar.update(task, completed=done, total=total))

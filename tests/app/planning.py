"""A file with a scripted planner, for tests of planning."""

from __future__ import annotations

import json
from typing import Any

GOOD: dict[str, Any] = {
    "title": "Mend the parser",
    "summary": "Looks, then mends.",
    "steps": [
        {"name": "look", "agent": "coder", "prompt": "look around"},
        {"name": "mend", "agent": "coder", "prompt": "mend by {{look}}", "needs": ["look"]},
    ],
    "confidence": {"task_clarity": 0.9, "context": 0.8, "approach": 0.8, "feasibility": 0.9},
    "risks": [{"what": "it may break", "severity": "medium", "mitigation": "a review"}],
}
"""A draft that needs no approval."""

CONTEXT: dict[str, Any] = {
    "about": "a small folder",
    "files": ["notes.txt", "../x", ".env", "missing.txt"],
    "facts": ["it is small"],
    "unknown": [],
}


def changed(**changes: Any) -> dict[str, Any]:
    """Give the good draft with other parts."""
    return {**GOOD, **changes}


def file_with(draft: dict[str, Any], mended: dict[str, Any] | None = None) -> str:
    """Give a file whose planner gives this draft, and that one when it is told of mistakes."""
    by = {
        "^Somebody else": [{"output": CONTEXT}],
        "^Draft a plan": [{"output": draft}],
        "^This draft": [{"output": mended or draft}],
    }
    tree = {
        "version": 1,
        "agents": {
            "planner": {"scripted": {"by": by}},
            "coder": {"scripted": {}},
            "build": {"command": ["cat"]},
        },
        "plans": {"hello": {"steps": {"a": {"agent": "coder", "prompt": "hi"}}}},
    }
    return json.dumps(tree, indent=1)

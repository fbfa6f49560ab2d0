"""A file of scripted agents that answer, vote and judge."""

from __future__ import annotations

import json

from tests.cli.kit import Home


def voter(answer: str, vote: str, *, after: str = "10ms", **more: object) -> dict[str, object]:
    """An agent that gives an answer, and votes for a label with its reason."""
    ballot = {"vote": vote, "confidence": 0.9, "reason": f"{vote} is clear."}
    return {
        "scripted": {
            "replies": [{"output": answer, "after": after, "tokens_in": 10, "tokens_out": 2}],
            "by": {"Vote for the one": [{"output": ballot, "after": after}]},
        },
        **more,
    }


def says(text: object, *, after: str = "10ms", stream: bool = False) -> dict[str, object]:
    return {"scripted": {"replies": [{"output": text, "after": after, "stream": stream}]}}


def fails(message: str) -> dict[str, object]:
    return {"scripted": {"replies": [{"error": {"kind": "permanent", "message": message}}]}}


def judge(verdict: str, *issues: str, by: dict[str, object] | None = None) -> dict[str, object]:
    said = {"verdict": verdict, "confidence": 0.9, "reason": "so", "issues": list(issues)}
    return {"scripted": {"replies": [{"output": said, "after": "10ms"}], "by": by or {}}}


AGENTS: dict[str, object] = {
    "flash": voter("A log.", "A"),
    "pro": voter("A heap.", "B"),
    "odd": fails("no such model"),
    "memory": says("Gave up twice."),
    "mood": says("Tired."),
    "late": says("never heard", after="60s"),
    "coach": says("Rest now. Then play!", after="200ms", stream=True),
    "fan": judge("approve"),
    "critic": judge("reject", "it leaks", "it is\nslow"),
}


def write_agents(home: Home, name: str = "hocket.yaml", **more: object) -> None:
    """Write a file of agents, which has a plan as every file has."""
    tree = {
        "version": 1,
        "agents": {**AGENTS, **more},
        "plans": {"p": {"steps": {"a": {"command": ["true"]}}}},
    }
    # What is JSON is YAML, too.
    home.put(name, json.dumps(tree))

"""Writes `reference/events.md`: every kind of event with its fields."""

from __future__ import annotations

import typing

from hocket.core import errors, events
from hocket.core.values import Call, FileRef
from writers.docstrings import NOTE, fields, summary


def events_page() -> str:
    """Write every kind of event with its fields."""
    lines = [
        "# Events",
        "",
        NOTE,
        "",
        "What a run's journal holds, in order; `hocket logs --jsonl RUN` and",
        "`hocket run --jsonl` write one to a line:",
        "",
        "```json",
        '{"seq":7,"event":{"type":"call_finished","at":1795293502852000000,'
        '"call":{"path":"greeting","attempt":1},"output":"Hello Ada"}}',
        "```",
        "",
        "`seq` counts a run's events from 1 without gaps.",
        "`type` is the heading below.",
        "`at` is the instant in nanoseconds since 1970, and never goes back within a run.",
        "A field that has its default is left out.",
        "A kind of event, once released, keeps its name and the meaning of its fields.",
        "",
    ]
    for kind in typing.get_args(events.AnyEvent):
        tag = kind.__struct_config__.tag
        lines += [f"## {tag}", "", summary(kind), "", *fields(kind)]
    lines += ["## Parts", ""]
    for part in (Call, events.Usage, events.Wait, errors.Fault, FileRef):
        lines += [f"### {part.__name__}", "", summary(part), "", *fields(part)]
    return "\n".join(lines).rstrip() + "\n"

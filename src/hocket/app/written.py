"""Data and drafts as YAML that people read: all that is in it is seen."""

from __future__ import annotations

from typing import Any, Final

import yaml

from hocket.agents.terminal import visible
from hocket.config.drafts import Draft, plan_name
from hocket.core.values import Json

_MAP: Final = "tag:yaml.org,2002:map"


class _Twice(tuple[tuple[str, Json], ...]):
    """An object whose keys may be there twice, as whoever wrote it has them."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    # What cannot be seen is written as an escape, and only a text in quotes can have one.
    style = style if visible(text) == text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _pairs(dumper: yaml.SafeDumper, pairs: _Twice) -> yaml.MappingNode:
    return dumper.represent_mapping(_MAP, pairs)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(_Twice, _pairs)


def written(tree: Json) -> str:
    """Write data as YAML in which whatever cannot be seen, or turns the reading, is an escape."""
    return visible(
        yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, indent=2)
    )


def draft_text(draft: Draft, extends: str, *, approve: bool) -> str:
    """Write a draft as a file of plans that extends the operator's.

    A name that two steps have is there twice, which is a mistake that is told with its place.

    Args:
        draft: It.
        extends: The name of the operator's file.
        approve: Whether the plan waits for a person's approval before it begins.
    """
    steps: list[tuple[str, Json]] = []
    for step in draft.steps:
        about: dict[str, Json] = {"agent": step.agent, "prompt": step.prompt}
        if step.needs:
            about["needs"] = list(step.needs)
        if step.approve:
            about["approve"] = True
        steps.append((step.name, about))
    plan: dict[str, Json] = {"approve": True} if approve else {}
    plan["steps"] = _Twice(steps)
    tree = {"version": 1, "extends": extends, "plans": {plan_name(draft): plan}}
    about_it = [*draft.title.splitlines(), "", *draft.summary.splitlines()]
    lines = [f"# {visible(line)}".rstrip() for line in about_it]
    return "\n".join([*lines, written(tree)])

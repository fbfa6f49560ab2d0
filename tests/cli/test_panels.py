"""``show`` of a run that has a panel."""

from __future__ import annotations

import json

from tests.cli.kit import Home
from tests.cli.teams import AGENTS, says


def test_show_says_who_was_late_and_that_nobody_selected(home: Home) -> None:
    panel = {
        "question": "x",
        "agents": {"memory": "memory", "slow": "slow"},
        "select": {"agent": "router"},
        "quorum": 1,
        "synthesis": {"agent": "coach"},
    }
    agents = {**AGENTS, "slow": says("too late", after="100ms"), "router": says("zz")}
    plans = {"p": {"steps": {"r": {"panel": panel}}}}
    home.put("hocket.yaml", json.dumps({"version": 1, "agents": agents, "plans": plans}))
    home.ok("run", "p", "--id", "r")
    shown = home.ok("show", "r").out
    rows = [line.split() for line in shown.splitlines()]
    assert ["r:", "panel", "replies", "to", "1", "of", "2", "contributions"] in rows
    assert ["memory", "Gave", "up", "twice."] in rows
    assert ["slow", "missing", "late"] in rows
    assert "select" in shown and "failed, so that everybody was asked:" in shown
    [data] = home.ok("show", "r", "--json").data["panels"].values()
    assert data["missing"] == {"slow": "late"}

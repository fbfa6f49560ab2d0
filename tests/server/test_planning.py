"""The planner over HTTP: draft, look, edit, check, approve, start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.app.planning import GOOD, changed, file_with
from tests.server.kit import Served, serving


def drafted(served: Served, task: str = "mend the parser") -> dict[str, Any]:
    run = served.post("/api/plan", {"task": task})["run"]
    served.until(run, "succeeded")
    found: dict[str, Any] = served.get(f"/api/plan/{run}")
    return found


def test_a_plan_is_drafted_edited_and_run(tmp_path: Path) -> None:
    file = tmp_path / "hocket.yaml"
    file.write_text(file_with(GOOD))
    with serving(tmp_path / "state", [file]) as served:
        found = drafted(served)
        assert found["ready"]
        assert not found["needs_approval"]
        assert found["prediction"]["calls"] == 2
        wrong = found["text"].replace("agent: coder", "agent: codr", 1)
        path = f"/api/plan/{found['run']}"
        checked = served.post(f"{path}/check", {"text": wrong})
        assert checked["problems"] == ["(draft):10:16: unknown agent 'codr'; did you mean 'coder'?"]
        refused = served.ask("POST", f"{path}/start", {"text": wrong})
        assert refused.status == 400
        assert "unknown agent 'codr'" in refused.json()["error"]["message"]
        edited = found["text"].replace("look around", "look twice")
        run = served.post(f"{path}/start", {"text": edited})["run"]
        assert served.until(run, "succeeded", "failed") == "succeeded"
        output = served.ask("GET", f"/api/runs/{run}/output?path=mend")
        assert output.body == b"mend by look twice"


def test_a_risky_plan_waits_unless_these_bytes_were_approved(tmp_path: Path) -> None:
    file = tmp_path / "hocket.yaml"
    file.write_text(file_with(changed(risks=[{"what": "all is lost", "severity": "critical"}])))
    with serving(tmp_path / "state", [file]) as served:
        found = drafted(served)
        assert found["why"] == ["critical risk: all is lost"]
        path = f"/api/plan/{found['run']}/start"
        other = {"text": found["text"] + "# changed\n", "digest": found["digest"]}
        refused = served.ask("POST", path, {**other, "approved": True})
        assert (refused.status, refused.kind) == (409, "refused")
        mine = {"text": found["text"], "digest": found["digest"], "approved": True}
        run = served.post(path, mine)["run"]
        assert served.until(run, "succeeded", "failed") == "succeeded"
        run = served.post(path, {"text": found["text"]})["run"]
        asked = [one for one in served.get("/api/inbox")["questions"] if one["run"] == run]
        assert len(asked) == 1
        assert "mend by {{look}}" in asked[0]["shown"]


def test_what_is_approved_is_the_agents_too(tmp_path: Path) -> None:
    file = tmp_path / "hocket.yaml"
    acts = changed(steps=[{"name": "make", "agent": "build", "prompt": "hi"}])
    file.write_text(file_with(acts))
    evil = tmp_path / "evil"
    with serving(tmp_path / "state", [file]) as served:
        found = drafted(served)
        assert found["why"] == ["step make runs cat, which may change things"]
        assert found["agents"] == [f'build runs ["cat"] in {tmp_path}']
        path = f"/api/plan/{found['run']}/start"
        mine = {"text": found["text"], "digest": found["digest"], "approved": True}
        tree = json.loads(file_with(acts))
        tree["agents"]["build"]["command"] = ["touch", str(evil)]
        file.write_text(json.dumps(tree))
        for body in (mine, {**mine, "approved": False}):
            refused = served.ask("POST", path, body)
            assert (refused.status, refused.kind) == (409, "refused")
            assert "look at it again" in refused.json()["error"]["message"]
        unnamed = served.ask("POST", path, {"text": found["text"], "approved": True})
        assert (unnamed.status, "give its digest" in unnamed.body.decode()) == (409, True)
        file.write_text(file_with(acts))
        run = served.post(path, mine)["run"]
        assert served.until(run, "succeeded", "failed") == "succeeded"
    assert not evil.exists()


def test_what_cannot_be_planned(tmp_path: Path) -> None:
    file = tmp_path / "hocket.yaml"
    file.write_text(file_with(GOOD))
    with serving(tmp_path / "state", [file]) as served:
        assert served.ask("POST", "/api/plan", {"task": "  "}).status == 409
        assert served.ask("POST", "/api/plan", {"task": "x", "agent": "nobody"}).status == 404
        assert served.ask("POST", "/api/plan", {"task": "x", "folder": "/"}).status == 400
        build = served.ask("POST", "/api/plan", {"task": "x", "agent": "build"})
        assert (build.status, "cannot plan" in build.body.decode()) == (409, True)
        run = served.post("/api/runs", {"file": "hocket.yaml", "plan": "hello"})["run"]
        assert served.ask("GET", f"/api/plan/{run}").status == 409
        assert served.ask("POST", "/api/plan", {"task": "x"}, token="view").status == 403

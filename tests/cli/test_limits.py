"""``hocket limits``, and other limits for one run on the command line."""

from __future__ import annotations

import json

from tests.cli.kit import Home, ended, masked

from hocket.core.values import MINUTE

FILE = """version: 1
limits:
  gpu: {concurrency: 2}
  api: {preset: mine/free, requests: 3/hour}
models:
  flash: {id: "google:gemini-2.5-flash", limits: {requests: 9/min, tokens: 32k/min}}
agents:
  asker: {model: flash, max_tokens: 9}
  coder: {command: [sleep, "0"], effects: false, limits: [api, {spacing: 10ms}]}
  writer: {scripted: {replies: [{output: "on {prompt}", cost: 0.40}]}}
plans:
  work:
    priority: 2
    steps:
      train: {agent: coder, uses: {gpu: 2}}
      ask: {agent: asker, prompt: x, needs: train, when: "false"}
  write:
    budget: 1.00
    steps:
      one: {agent: writer, prompt: one}
      two: {agent: writer, prompt: two, needs: one}
      three: {agent: writer, prompt: three, needs: two}
"""
OWN = "presets:\n  mine/free: {requests: 60/min, tokens: 5k/min, about: our contract}\n"


def home_with(home: Home, text: str = FILE) -> Home:
    home.state.mkdir(exist_ok=True)
    home.state.joinpath("limits.yaml").write_text(OWN)
    home.put("hocket.yaml", text)
    return home


# ---- what there is ----


def test_a_file_shows_what_its_limits_come_to(home: Home) -> None:
    home_with(home)
    lines = home.ok("limits", "hocket.yaml", "work").out.splitlines()
    assert [line.split("  ") for line in (" ".join(x.split()) for x in lines)] == [
        ["hocket.yaml: plan work (priority 2)"],
        ["LIMIT BOUND OF CLAIMED BY"],
        ["coder 10 ms between starts all runs agent coder"],
        ["api 3/h requests all runs agent coder"],
        ["5k/min tokens"],
        ["google:gemini-2.5-flash 9/min requests all runs agent asker"],
        ["32k/min tokens"],
        ["gpu 2 at once all runs step train (2)"],
    ]
    both = home.ok("limits", "hocket.yaml").out
    assert "plan write" in both and "$1.00, else pause  each run  every call" in both
    changed = home.ok("limits", "hocket.yaml", "work", "--limit", "flash.requests=15/min").out
    assert "15/min requests" in changed
    data = home.ok("limits", "hocket.yaml", "work", "--json").data
    gpu = next(limit for limit in data[0]["limits"] if limit["name"] == "gpu")
    assert gpu == {
        "name": "gpu",
        "concurrency": 2,
        "shared": True,
        "adaptive": False,
        "on_exceed": "wait",
        "claimed_by": ["step train (2)"],
    }


def test_presets_are_listed_with_their_source_and_day(home: Home) -> None:
    home_with(home)
    done = home.ok("limits", "--presets", "openrouter")
    assert done.out.splitlines()[:3] == [
        "openrouter/free: 20/min requests, 50/day requests",
        "    for all models whose names end in :free together, before 10 credits were bought",
        "    from https://openrouter.ai/docs/api/reference/limits, as of 2026-10-17",
    ]
    assert "Providers change their limits" in done.err
    assert str(home.state / "limits.yaml") in done.err
    mine = home.ok("limits", "--presets", "mine/free").out
    assert mine.splitlines() == [
        "mine/free: 60/min requests, 5k/min tokens",
        "    for our contract",
        f"    from {home.state / 'limits.yaml'}",
    ]
    every = home.ok("limits", "--presets", "--json").data
    assert {"anthropic/tier-1", "groq/free", "mine/free", "openai/tier-5"} <= {
        preset["name"] for preset in every
    }
    assert all(preset["source"] for preset in every)


def test_what_cannot_be_listed_is_refused(home: Home) -> None:
    home_with(home)
    for args, said in (
        (("limits", "--presets", "grok"), "no presets of 'grok'; did you mean 'groq'?"),
        (("limits", "--presets", "groq", "x"), "--presets takes a provider at most"),
        (("limits", "--limit", "a.requests=1/s"), "--limit is for the limits of a file"),
        (("limits", "no.yaml"), "no.yaml: there is no such file"),
    ):
        done = home.hocket(*args)
        assert done.status == 2, done
        assert said in done.err
    home.state.joinpath("limits.yaml").write_text("presets:\n  mine/free: {rpm: 5}\n")
    done = home.hocket("check")
    assert done.status == 2
    assert f"{home.state / 'limits.yaml'}:2:15: unknown key 'rpm'" in done.err


# ---- what is used ----


def test_what_runs_have_used_is_listed(home: Home) -> None:
    home_with(home)
    assert "no run has claimed a shared limit yet" in home.ok("limits").out
    home.ok("run", "hocket.yaml", "work", "--id", "r")
    out = home.ok("limits").out
    assert [" ".join(line.split()) for line in masked(out).splitlines()] == [
        "LIMIT BOUND USED NEXT FREE RUNS",
        "coder TOOK between starts",
        "api 3/h requests 1 of 3 in TOOK",
        "5k/min tokens 0 of 5k",
        "google:gemini-2.5-flash 9/min requests 0 of 9",
        "32k/min tokens 0 of 32k",
        "gpu 2 at once 0 of 2",
    ]
    data = {limit["name"]: limit for limit in home.ok("limits", "--json").data}
    (requests, _) = data["api"]["bounds"]
    assert (requests["used"], requests["allowed"], requests["seconds"]) == (1, 3, 3600)
    assert 3500 < requests["free_in"] <= 3601


def test_a_run_under_way_is_named_with_what_it_holds(home: Home) -> None:
    home.put("hocket.yaml", FILE.replace('[sleep, "0"]', '[sleep, "30"]'))
    home_with(home, home.file("hocket.yaml").read_text())
    child = home.start("run", "hocket.yaml", "work", "--id", "r", "--plain")
    home.until(lambda: "call_started" in home.kinds() if home.status() else False, child)
    data = {limit["name"]: limit for limit in home.ok("limits", "--json").data}
    assert (data["gpu"]["runs"], data["gpu"]["in_flight"]) == (["r"], {"r": 1})
    assert data["gpu"]["bounds"][0]["used"] == 2
    gpu = next(line for line in home.ok("limits").out.splitlines() if line.startswith("gpu"))
    assert " ".join(gpu.split()) == "gpu 2 at once 2 of 2 r (1 in flight)"
    home.kill(child)


# ---- other limits for one run ----


def spec_of(home: Home, run: str) -> dict[str, object]:
    started = home.events(run)[0]
    return dict(started["spec"])


def test_one_run_may_have_other_limits(home: Home) -> None:
    home_with(home)
    home.ok(
        *("run", "hocket.yaml", "work", "--id", "r", "--limit", "flash.requests=15/min"),
        *("--limit", "gpu.concurrency=3", "--budget", "2", "--priority=-1", "--weight", "4"),
        *("--deadline", "1h"),
    )
    spec = spec_of(home, "r")
    limits = json.loads(json.dumps(spec["limits"]))
    assert limits["google:gemini-2.5-flash"]["requests"] == [[15, MINUTE]]
    assert limits["gpu"]["concurrency"] == 3
    assert limits["plan:work budget"]["cost"] == [[2 * 10**12, 0]]
    assert (spec["priority"], spec["weight"], spec["deadline"]) == (-1, 4.0, 60 * MINUTE)
    assert spec["claims"] == ["plan:work budget"]


def test_limits_that_make_no_sense_are_refused_before_the_run(home: Home) -> None:
    home_with(home)
    for command in ("run", "check"):
        done = home.hocket(command, "hocket.yaml", "work", "--limit", "gpu.concurrency=1")
        assert done.status == 2
        assert done.err.splitlines()[0] == (
            "hocket.yaml:15:41: limit 'gpu' has 1 units: 2 are never free"
        )
        done = home.hocket(command, "hocket.yaml", "work", "--limit", "flsh.requests=1/s")
        assert done.status == 2
        assert "did you mean 'flash'?" in done.err
    assert home.ok("runs").out == ""


def test_a_budget_that_could_not_be_kept_is_refused_with_its_place(home: Home) -> None:
    home_with(home, FILE.replace("max_tokens: 9", "concurrency: 9"))
    done = home.hocket("check", "hocket.yaml", "work", "--budget", "1.00")
    assert done.status == 2
    assert done.err.splitlines()[0].startswith(
        "hocket.yaml:8:3: 'plan:work budget' could not be kept: set max_tokens"
    )
    assert home.hocket("check", "hocket.yaml", "work").status == 0


def test_a_command_with_a_budget_is_said_not_to_be_bounded(home: Home) -> None:
    home_with(home, FILE.replace("{command: [sleep", "{budget: 1.00, command: [sleep"))
    done = home.ok("check", "hocket.yaml", "work")
    assert "note: agent coder: a command tells nobody what it spends" in done.out


def test_a_run_that_is_over_its_budget_goes_on_with_more(home: Home) -> None:
    home_with(home)
    done = home.hocket("run", "hocket.yaml", "write", "--id", "r")
    assert (home.status(), done.status != 0) == ("paused", True)
    assert home.hocket("resume", "r").status != 0
    assert home.status() == "paused"
    done = home.ok("resume", "r", "--budget", "2.00")
    assert done.out == "on three\n"
    # What was done before is not done again.
    assert sum(kind == "call_finished" for kind in home.kinds()) == 3


def test_a_run_keeps_its_limits_unless_the_files_are_wanted(home: Home) -> None:
    home_with(home)
    home.hocket("run", "hocket.yaml", "write", "--id", "r", "--limit", "writer.spacing=1ms")
    assert home.status() == "paused"
    home.put("hocket.yaml", FILE.replace("budget: 1.00", "budget: 5.00"))
    kept = home.hocket("resume", "r")
    assert home.status() == "paused"
    assert "the limits of run r stay as it began with them; --new-spec takes those of" in kept.err
    home.ok("resume", "r", "--new-spec")
    assert home.status() == "succeeded"
    assert sum(kind == "call_finished" for kind in home.kinds()) == 3


def test_a_run_goes_on_under_the_limits_that_it_was_started_with(home: Home) -> None:
    home_with(home)
    child = home.start(
        *("run", "hocket.yaml", "work", "--id", "r", "--plain", "--limit", "gpu.concurrency=3"),
        *("--limit", "coder.spacing=2s"),
    )
    home.until(home.status, child)
    ended(child)
    assert home.status() == "succeeded"
    home.put("hocket.yaml", FILE.replace("priority: 2", "priority: 3"))
    again = home.hocket("resume", "r")
    # It has ended, and that is all that is said: its file has not changed otherwise.
    assert "has changed since" not in again.err

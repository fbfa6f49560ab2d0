"""The page of an explanation as a file: size, policy, data. `test_browser` looks at it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from tests.report.explained import BEGAN, NASTY, call, explained, gain, many, seven, trace

from hocket.core.values import SECOND
from hocket.insight.explain import explain
from hocket.insight.trace import Disagreement, Trace
from hocket.report import html_data
from hocket.report.html import explain_html
from hocket.report.html_data import page_data
from hocket.report.svg import escape

ROOT = Path(__file__).parents[2]


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])  # type: ignore[no-any-return]


def test_a_page_of_a_thousand_calls_is_less_than_a_megabyte() -> None:
    assert len(explain_html(explain(many(1_000))).encode()) < 700_000


def test_the_policy_allows_this_script_and_this_style_by_hash_and_nothing_else() -> None:
    page = explain_html(explained())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in unescape(policy[1]).split("; "))
    assert rules["default-src"] == "'none'"

    def digest(pattern: str) -> str:
        texts = re.findall(pattern, page, re.S)
        assert len(texts) == 1
        return f"'sha256-{base64.b64encode(hashlib.sha256(texts[0].encode()).digest()).decode()}'"

    assert rules["script-src"] == digest(r"<script>(.*?)</script>")
    assert rules["style-src"] == digest(r"<style>(.*?)</style>")
    assert not re.search(r'\sstyle="|\son\w+="|javascript:', page)
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)


def test_what_others_wrote_is_escaped_everywhere() -> None:
    source = trace(missing=(f"it is {NASTY}",), disagreements=(Disagreement(NASTY, NASTY, NASTY),))
    page = explain_html(explain(source), [gain(why=NASTY)])
    assert "<img" not in page
    assert page.count("</script>") == 2
    assert "\x00" not in page
    assert "\\u003c/script>" in page


def test_the_headline_is_first_and_the_table_comes_before_the_pictures() -> None:
    told = explained()
    page = explain_html(told, [gain(1)])
    places = [
        page.index(f'id="{name}"')
        for name in ("shares", "findings", "chain", "timeline", "calls", "pictures")
    ]
    assert places == sorted(places)
    assert page.index(f"<h1>{escape(told.headline)}</h1>") < places[0]
    assert "Simulated: " in page
    assert page.index("Simulated: ") > page.index(escape(told.findings[1].title))


def test_the_numbers_of_the_page_are_those_of_the_account() -> None:
    told = explained()
    page = explain_html(told)
    assert "30.000 s" in page
    assert "30.0 %" in page
    data = data_of(page)
    longs = [data["segments"][at] for at in range(0, len(data["segments"]), 3)]
    assert sum(longs) == data["took"]
    assert data["took"] * data["unit"] == told.trace.took
    sums: dict[str, int] = {}
    for at in range(0, len(data["segments"]), 3):
        name = data["causes"][data["segments"][at + 1]][1]
        sums[name] = sums.get(name, 0) + data["segments"][at] * data["unit"]
    assert sums["rate limit flash"] == 30 * SECOND
    assert data["chain"] == told.account.chain


def test_bars_of_the_data_follow_each_other_and_show_no_idle_time() -> None:
    told = explain(many(500))
    data = page_data(told)
    idle = [name for name, *_ in data["kinds"]].index("nothing ready")
    for rows in data["views"].values():
        assert rows
        for _, flat in rows:
            assert len(flat) % 4 == 0
            assert all(gap >= 0 for gap in flat[0::4])
            assert all(long >= 0 for long in flat[1::4])
            assert all(data["causes"][cause][0] != idle for cause in flat[2::4])
            assert sum(flat[0::4]) + sum(flat[1::4]) <= data["took"]


@pytest.mark.parametrize("by", ["agent", "limit"])
def test_lanes_stand_in_the_natural_order_of_their_names(by: Any) -> None:
    names = ["a2", "a10", "a1", "B", ""]
    limits = ("a2", "a10", "a1", "B")
    calls = [
        call("s/" + name, 0, 0, 50, agent=name, claims=limits, events=(n,))
        for n, name in enumerate([*names, "a2"])
    ]
    told = explained(activities=calls, finish=0, limits={})
    data = page_data(told)
    found = [data["texts"][text] for text, _ in data["views"][by]]
    shown = [name for name in found if name]
    if by == "agent":
        # A second row of one name stands below the first, and people come last.
        assert found == ["B", "a1", "a2", "", "a10", "people"]
    else:
        assert shown == ["B", "a1", "a2", "a10"]


def test_a_run_below_a_millisecond_has_figures() -> None:
    activities = [call("a", 0, 0.0001, 0.000412, events=(3, 4))]
    told = explained(ended=BEGAN + 412_000, activities=activities, finish=0, stops=[])
    page = explain_html(told)
    assert "why it took 412 µs" in page
    assert ">412 µs</a>" in page
    above, _, chain = page.partition('id="chain"')
    assert not re.search(r">0(\.0+)? m?s<", above)
    assert len(re.findall(r">0(\.0+)? m?s<", chain)) == 1, "it was asked at once"


def test_instants_keep_nine_digits_however_long_the_run() -> None:
    year = Trace(run="r", name="", began=BEGAN, ended=BEGAN + 365 * 86_400 * SECOND)
    data = page_data(explain(year))
    assert 10**8 <= data["took"] <= 10**9


def test_a_larger_run_says_what_is_left_out_and_keeps_what_matters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(html_data, "MOST_CALLS", 900)
    monkeypatch.setattr(html_data, "MOST_ROWS", 5)
    told = explain(many(2_000, 12))
    page = explain_html(told)
    data = data_of(page)
    listed = data["calls"]["index"]
    assert len(listed) == 900
    assert set(told.account.chain) <= set(listed)
    assert "900 of 2,000 calls are listed" in page
    assert "By step: of 12 rows of the timeline 4 are drawn" in page
    assert "bars of calls that are not listed are left out" in page
    shown = {bar for _, flat in data["views"]["agent"] for bar in flat[3::4]}
    assert -2 in shown, "calls that are not listed are still drawn"
    assert shown - {-1, -2} <= set(listed)
    # What is told of the whole is told of all calls.
    assert f"{told.spending.total.calls:,}" in page


def test_teams_are_told_with_what_each_answer_made_void() -> None:
    told = seven()
    page = explain_html(told)
    part = page[page.index('id="teams"') : page.index('id="spending"')]
    assert f">{told.chains.void} calls, {told.chains.took / SECOND:,.3f} s of work" in part
    for line in told.chains.teams[0].lines:
        assert escape(line.detail) in part
    void = [answer for answer in told.chains.teams[0].answers if answer.void]
    assert void
    for answer in void:
        assert f'<a href="#list-{",".join(map(str, answer.void))}">{len(answer.void)}</a>' in part
    assert '<a href="#teams">teams</a>' in page
    assert 'id="teams"' not in explain_html(explain(trace(activities=[], finish=-1)))


def test_what_bounds_the_run_is_said_and_leads_to_its_calls() -> None:
    told = seven()
    page = explain_html(told)
    assert told.bounds.binds == "rate:pro"
    text = f"{told.bounds.best / SECOND:,.3f} s"
    assert f'<a href="#limit-pro">{text}</a> (rate limit pro)' in page
    assert f"{100 * told.bounds.efficiency:.0f} %" in page


def test_a_run_that_is_whole_says_nothing_of_what_is_left_out() -> None:
    data = page_data(explained())
    assert data["notes"] == []
    assert data["calls"]["index"] is None


def test_a_run_without_calls_is_still_a_page() -> None:
    for ended in (BEGAN, BEGAN + SECOND):
        page = explain_html(explain(Trace(run="r", name="", began=BEGAN, ended=ended)))
        assert data_of(page)["calls"]["path"] == []
        assert ("Nothing stands out" in page) is (ended == BEGAN)


_WRITE = """
import sys
from hocket.insight.explain import explain
from hocket.report.html import explain_html
from hocket.report.perfetto import perfetto
from hocket.report.picture import timeline_svg
from tests.report.explained import many
told = explain(many(200))
sys.stdout.write(explain_html(told) + timeline_svg(told) + perfetto(told).decode())
"""


def test_two_processes_write_the_same_bytes() -> None:
    found = [
        subprocess.run(
            [sys.executable, "-c", _WRITE],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert len(found[0]) > 100_000


def test_the_wheel_has_the_script_and_the_style(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"hocket/report/page/explain.js", "hocket/report/page/explain.css"} <= set(names)
    assert not [name for name in names if name.endswith(".map")]

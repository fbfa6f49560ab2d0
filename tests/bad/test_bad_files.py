# ruff: noqa: E501
"""Bad files, one a row, each with the exact message it gives.

A row is a name, the file, and the lines that are told.
``FILE`` stands for the file's name.
"""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hocket.config.file import load
from hocket.core.errors import CallerError

HEAD = "version: 1\n"
PLAN = HEAD + "plans:\n  p:\n    steps:\n"
AGENT = HEAD + "agents:\n  ada: {model: 'openai:x'}\nplans:\n  p:\n    steps:\n"


def steps(*lines: str, head: str = AGENT) -> str:
    return head + "".join(f"      {line}\n" for line in lines)


ONE = "plans: {p: {steps: {a: {command: [x]}}}}\n"


def limited(bounds: str) -> str:
    return f"{HEAD}models:\n  m: {{id: 'openai:x', limits: {{{bounds}}}}}\n{ONE}"


def used(uses: str) -> str:
    limits = "limits: {gpu: {concurrency: 2}, api: {requests: 9/min}}\n"
    return f"{HEAD}{limits}plans:\n  p:\n    steps:\n      a: {{command: [x], uses: {uses}}}\n"


def budgeted(budget: str) -> str:
    return f"{PLAN}      a: {{command: [x]}}\n    budget: {budget}\n"


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(12)
)

FILES: list[tuple[str, str | bytes, list[str]]] = [
    # -- not YAML, or more of it than is read
    ("empty", "", ["FILE:1:1: the file is empty"]),
    ("only comments", "# nothing\n\n", ["FILE:1:1: the file is empty"]),
    ("binary", b"\x7fELF\x02\x01\x01\x00\x00", ["FILE:1:1: the character U+007F cannot stand in a text file"]),
    ("image", b"version: 1\n\x89PNG\r\n", ["FILE:2:1: byte 0x89 is not UTF-8: is this a text file?"]),
    ("utf-16", "version: 1".encode("utf-16"), ["FILE:1:1: byte 0xff is not UTF-8: is this a text file?"]),
    ("nul", b"version: 1\nplans: \x00", ["FILE:2:8: the character U+0000 cannot stand in a text file"]),
    ("10 MB string", "version: 1\nx: '" + "y" * 10_000_000 + "'", ["FILE:1:1: the file has more than 1 MiB; no more is read"]),
    ("yaml bomb", BOMB, ["FILE:1:4: anchors are not read: remove '&a'"]),
    ("alias", "version: *v\n", ["FILE:1:10: aliases are not read: write out what '*v' means"]),
    ("python tag", "version: !!python/object/apply:os.system ['id']\n", ["FILE:1:10: tags are not read: remove '!!python/object/apply:os.system'"]),
    ("deep", "[" * 200_000, ["FILE:1:41: nested deeper than 40"]),
    ("many values", "[" + "1," * 300_000 + "]", ["FILE:1:500000: the file has more than 250,000 values"]),
    ("tab", "version: 1\nplans:\n\tp: 1\n", ["FILE:3:1: a tab cannot indent YAML: use spaces"]),
    ("open quote", "version: 1\nplans: 'x\n", ["FILE:2:8: not YAML: the quote that begins here is never closed"]),
    ("open bracket", "version: 1\nplans: [x\nmore: 1", ["FILE:3:5: not YAML: expected ',' or ']', but got ':' while parsing a flow sequence"]),
    ("colon in a text", "a: so: it goes\n", ["FILE:1:6: not YAML: mapping values are not allowed here; put quotes around a text with ': ' in it"]),
    ("indentation", "version: 1\n  plans: {}\n", ["FILE:2:8: not YAML: mapping values are not allowed here; put quotes around a text with ': ' in it"]),
    ("bare template", steps("a: {agent: ada, prompt: {{inputs.x}}}"), ["FILE:7:32: '{' begins an object, which cannot be a key; put quotes around a text with a template"]),
    ("two documents", "version: 1\n---\nversion: 1\n", ["FILE:2:1: a file holds one document: remove '---'"]),
    ("double key", "version: 1\nplans: {}\nversion: 1\n", ["FILE:3:1: the key 'version' is there twice; the first is in line 1"]),
    ("number as key", "1: 2\n", ["FILE:1:1: a key is a text: put quotes around 1"]),
    ("octal", "version: 01\n", ["FILE:1:10: is '01' a text or a number?; put quotes around a text"]),
    ("infinity", "version: .inf\n", ["FILE:1:10: '.inf' is no number that JSON knows; put quotes around a text"]),
    ("huge number", "version: 99999999999999999999\n", ["FILE:1:10: 99999999999999999999 does not fit into 64 bits"]),
    ("long number", "version: " + "9" * 5_000, ["FILE:1:10: a number has 40 characters at most"]),
    ("surrogate", 'version: "\\ud800"\n', ["FILE:1:13: not YAML: found invalid Unicode character escape code while parsing a quoted scalar"]),
    # -- not the shape
    ("a list", "- version: 1\n", ["FILE:1:1: a file is an object of keys and values"]),
    ("a text", "hello\n", ["FILE:1:1: a file is an object of keys and values"]),
    ("nothing in it", "{}\n", ["FILE:1:1: 'plans' is missing", "FILE:1:1: 'version' is missing"]),
    ("version 2", "version: 2\nplans: {p: {steps: {a: {command: [x]}}}}\n", ["FILE:1:10: version: must be 1, not the number 2"]),
    ("version as text", "version: '1'\nplans: {p: {steps: {a: {command: [x]}}}}\n", ["FILE:1:10: version: must be 1, not the text '1'"]),
    ("no plans", HEAD + "plans: {}\n", ["FILE:2:1: plans: cannot be empty"]),
    ("no steps", HEAD + "plans:\n  p:\n    timeout: 1m\n", ["FILE:3:3: 'steps' is missing"]),
    ("steps as list", HEAD + "plans:\n  p:\n    steps:\n      - {command: [x]}\n", ["FILE:5:7: steps: must be an object of keys and values, not a list"]),
    ("unknown key at the top", HEAD + "plan: {}\nplans: {p: {steps: {a: {command: [x]}}}}\n", ["FILE:2:1: unknown key 'plan'; did you mean 'plans'?"]),
    ("a later version's key", PLAN + "      a: {command: [x]}\n    review: {usd: 1}\n", ["FILE:6:5: unknown key 'review'; known: inputs, max_parallel, timeout, limits, budget, priority, weight, deadline, approve, defaults, steps, output"]),
    ("unknown key in a step", steps("a: {agent: ada, prompt: x, retires: 3}"), ["FILE:7:34: unknown key 'retires'; did you mean 'retry'?"]),
    ("two kinds of step", steps("a: {agent: ada, prompt: x, command: [y]}"), ["FILE:7:34: a step has either 'agent' or 'command', not both"]),
    ("no kind of step", steps("a: {comand: [x]}"), ["FILE:7:7: a step is an object with one of agent, command, shell, call, consensus, review, panel, population, run, approve, input; did you mean 'command'?"]),
    ("a step that is a text", steps("a: echo"), ["FILE:7:10: a step is an object with one of agent, command, shell, call, consensus, review, panel, population, run, approve, input"]),
    ("no kind of agent", HEAD + "agents:\n  ada: {modl: x}\nplans: {p: {steps: {a: {agent: ada}}}}\n", ["FILE:3:3: an agent is an object with one of session, model, command, function, local, scripted; did you mean 'model'?"]),
    ("command as text", steps("a: {command: git log}"), ["FILE:7:20: command: must be a list, not the text 'git log'; write shell: git log"]),
    ("empty command", steps("a: {command: []}"), ["FILE:7:20: command: cannot be empty"]),
    ("number in a command", steps("a: {command: [sleep, 5]}"), ["FILE:7:28: 1: must be a text, not the number 5"]),
    ("bad duration", steps("a: {command: [x], timeout: 5 minutes}"), ["FILE:7:34: timeout: '5 minutes' is not a duration; write it like '90s', '10m' or '1h30m'"]),
    ("duration true", steps("a: {command: [x], timeout: true}"), ["FILE:7:34: timeout: a duration is a number of seconds or a text like '90s' or '1h30m'"]),
    ("no time at all", steps("a: {command: [x], timeout: 0}"), ["FILE:7:34: timeout must be longer than 0"]),
    ("negative retries", steps("a: {command: [x], retry: -1}"), ["FILE:7:32: retry: retry counts tries after the first one: 0 or more"]),
    ("retry on nonsense", steps("a: {command: [x], retry: {on: [permanent]}}"), ["FILE:7:37: a retry cannot help against 'permanent'; there are failed, timeout, unavailable, rate_limited, invalid_output"]),
    ("yes is no boolean", steps("a: {command: [x], effects: yes}"), ["FILE:7:34: effects: must be true or false, not the text 'yes'"]),
    ("on_failure misspelt", steps("a: {command: [x], on_failure: contniue}"), ["FILE:7:37: on_failure: must be 'stop', 'skip' or 'continue', not the text 'contniue'; did you mean 'continue'?"]),
    ("max_parallel 0", PLAN + "      a: {command: [x]}\n    max_parallel: 0\n", ["FILE:6:19: max_parallel: must be at least 1, not 0"]),
    ("repeat without max", steps("a: {command: [x], repeat: {until: a}}"), ["FILE:7:25: 'max' is missing"]),
    ("repeat never", steps("a: {command: [x], repeat: {until: a, max: 0}}"), ["FILE:7:49: max: must be at least 1, not 0"]),
    ("unknown output", steps("a: {command: [x], output: jsno}"), ["FILE:7:33: output: unknown output 'jsno'; did you mean 'json'?"]),
    ("unknown type", steps("a: {command: [x], output: {n: integr}}"), ["FILE:7:25: output: field 'n' has the unknown type 'integr'; did you mean 'int'?"]),
    ("schema from elsewhere", steps("a: {command: [x], output: {$ref: 'http://x/y'}}"), ["FILE:7:25: output: a $ref stays within its schema: begin it with '#'"]),
    ("schema that is none", steps("a: {command: [x], output: {type: object, properties: {n: {type: 3}}}}"), ["FILE:7:25: output: no JSON Schema: properties.n.type: 3 is not valid under any of the given schemas"]),
    ("inputs twice", HEAD + "plans:\n  p:\n    inputs: [a, a]\n    steps: {x: {command: [x]}}\n", ["FILE:4:13: inputs: a list of inputs has different names in it"]),
    # -- names
    ("unknown need", steps("spec: {agent: ada, prompt: x}", "b: {agent: ada, prompt: x, needs: [spce]}"), ["FILE:8:42: unknown step 'spce'; did you mean 'spec'?"]),
    ("unknown need alone", steps("spec: {agent: ada, prompt: x}", "b: {agent: ada, prompt: x, needs: spce}"), ["FILE:8:41: unknown step 'spce'; did you mean 'spec'?"]),
    ("unknown agent", steps("a: {agent: adda, prompt: x}"), ["FILE:7:18: unknown agent 'adda'; did you mean 'ada'?"]),
    ("unknown fallback", steps("a: {agent: ada, prompt: x, fallback: bob}"), ["FILE:7:44: unknown agent 'bob'"]),
    ("unknown model", HEAD + "models: {claude: {id: 'a:b'}}\nagents: {ada: {model: cluade}}\n" + PLAN[11:] + "      a: {agent: ada, prompt: x}\n", ["FILE:3:23: unknown model 'cluade'; did you mean 'claude'?"]),
    ("unknown plan", steps("a: {run: q}"), ["FILE:7:16: unknown plan 'q'"]),
    ("a plan that runs itself", steps("a: {run: p}"), ["FILE:7:16: plans run each other: p → p"]),
    ("unicode name", steps("naïve: {command: [x]}"), ["FILE:7:7: a step's name has letters a-z, digits, '_' and '-', first a letter, at most 100 in all; not 'naïve'"]),
    ("name with a slash", steps("a/b: {command: [x]}"), ["FILE:7:7: a step's name has letters a-z, digits, '_' and '-', first a letter, at most 100 in all; not 'a/b'"]),
    ("reserved name", steps("item: {command: [x]}"), ["FILE:7:7: 'item' has another meaning in templates: rename it"]),
    # -- templates and expressions
    ("unknown name", steps("a: {agent: ada, prompt: 'do {{b}}'}"), ["FILE:7:37: unknown name 'b'"]),
    ("unknown input", HEAD + "plans:\n  p:\n    inputs: [goal]\n    steps:\n      a: {command: [x, '{{inputs.gaol}}']}\n", ["FILE:6:27: unknown input 'gaol'; did you mean 'goal'?"]),
    ("missing field", steps("a: {agent: ada, prompt: x, output: {title: str}}", "b: {agent: ada, prompt: 'on {{a.titel}}'}"), ["FILE:8:37: 'a' has no field 'titel'; it has title; did you mean 'title'?"]),
    ("missing field in a block", steps("a: {agent: ada, prompt: x, output: {title: str}}", "b:", "  agent: ada", "  prompt: |", "    first", "    on {{a.titel}}"), ["FILE:12:16: 'a' has no field 'titel'; it has title; did you mean 'title'?"]),
    ("field of a list", steps("a: {command: [x], output: lines}", "b: {agent: ada, prompt: '{{a.first}}'}"), ["FILE:8:34: 'a' is a list and has no field 'first'"]),
    ("open template", steps("a: {agent: ada, prompt: 'do {{b'}"), ["FILE:7:38: expected '}}', found the end"]),
    ("bad expression", steps("a: {command: [x], when: 1 = 1}"), ["FILE:7:33: unexpected '=' in an expression; write == to compare"]),
    ("python in an expression", steps("a: {command: [x], when: '__import__(\"os\")'}"), ["FILE:7:42: expected an operator or the end, found '('"]),
    ("item without each", steps("a: {agent: ada, prompt: '{{item}}'}"), ["FILE:7:34: 'item' has a meaning only in the input of a step with each"]),
    ("template in a shell text", HEAD + "plans:\n  p:\n    inputs: [x]\n    steps:\n      a: {shell: 'echo {{inputs.x}}'}\n", ["FILE:6:18: a template in a shell text would let its value run commands; give it by args: [\"{{…}}\"] and write \"$1\""]),
    ("template in a setting", HEAD + "plans:\n  p:\n    inputs: [x]\n    steps:\n      a: {command: [x], cwd: '{{inputs.x}}'}\n", ["FILE:6:30: settings have no templates: give values by arguments or stdin"]),
    ("template as program", HEAD + "plans:\n  p:\n    inputs: [x]\n    steps:\n      a: {command: ['{{inputs.x}}']}\n", ["FILE:6:21: a command begins with a program, not a template"]),
    ("option beside a value", HEAD + "plans:\n  p:\n    inputs: [x]\n    steps:\n      a: {command: [git, '{{inputs.x}}', --all]}\n", ["FILE:6:42: '--all' stands beside a value that could become an option too: put options before all values, or set allow_dashes: true"]),
    ("option made of a value", HEAD + "plans:\n  p:\n    inputs: [x]\n    steps:\n      a: {command: [git, '-{{inputs.x}}']}\n", ["FILE:6:26: '-{{inputs.x}}' stands beside a value that could become an option too: put options before all values, or set allow_dashes: true"]),
    # -- plans that make no sense
    ("loop", steps("a: {agent: ada, prompt: '{{c}}'}", "b: {agent: ada, prompt: x, needs: a}", "c: {agent: ada, prompt: x, wants: [b]}"), ["FILE:7:31: steps wait for each other: a → c → b → a"]),
    ("loop of one", steps("a: {agent: ada, prompt: x, needs: [a]}"), ["FILE:7:42: step 'a' waits for itself"]),
    ("loop of 1,000", steps(*(f"s{i}: {{agent: ada, prompt: x, needs: s{(i + 1) % 1000}}}" for i in range(1000))), ["FILE:7:42: steps wait for each other: s0 → s1 → s2 → s3 → … (994 more) → s998 → s999 → s0"]),
    ("quorum too high", steps("a: {command: [x]}", "b: {command: [x], wants: [a], quorum: 2}"), ["FILE:8:45: quorum 2 of 1 wants cannot be met"]),
    ("within without wants", steps("b: {command: [x], within: 5s}"), ["FILE:7:33: within is about wants, and there are none"]),
    ("input that approves", steps("a: {input: your word, on_timeout: approve}"), ["FILE:7:41: a step that waits for input has nothing to approve: pause or reject"]),
    ("missing nested input", HEAD + "plans:\n  p:\n    steps:\n      a: {run: q, with: {y: 1}}\n  q:\n    inputs: [x]\n    steps: {b: {command: [x]}}\n", ["FILE:5:19: plan 'q' needs the input 'x'", "FILE:5:29: plan 'q' has no input 'y'"]),
    ("plans that multiply", HEAD + "plans:\n" + "".join(f"  p{i}:\n    steps: {{" + ", ".join(f"s{j}: {{run: p{i + 1}}}" for j in range(90)) + "}\n" for i in range(7)) + "  p7: {steps: {a: {command: [x]}}}\n", ["FILE:12:5: more than 200,000 steps, those of nested plans counted"]),
    ("no prompt", steps("a: {agent: ada}"), ["FILE:7:18: step 'a' has no prompt"]),
    ("setting of another kind", steps("a: {agent: ada, prompt: x, cwd: /tmp}"), ["FILE:7:39: a model agent has no setting 'cwd'"]),
    # -- limits and budgets
    ("requests by another name", limited("rpm: 3"), ["FILE:3:32: unknown key 'rpm'; write requests: 9/min"]),
    ("unknown key of a limit", limited("requsts: 3/min"), ["FILE:3:32: unknown key 'requsts'; did you mean 'requests'?"]),
    ("requests in no time", limited("requests: 9"), ["FILE:3:42: requests: 9 is no rate; write it like 9/min, 500/day or 600/10s"]),
    ("requests in nonsense", limited("requests: [9/min, 5/lunch]"), ["FILE:3:50: 1: '5/lunch' has no period that is known; write s, min, hour or day, with or without a number before it"]),
    ("half a request", limited("requests: 0.5/min"), ["FILE:3:42: requests: '0.5' is no whole number"]),
    ("no requests", limited("requests: 0/min"), ["FILE:3:42: requests: an amount lies between 1 and 1,000,000,000,000,000"]),
    ("requests in a moment", limited("requests: 9/0s"), ["FILE:3:42: requests: a period is longer than 0, and 366 days at most"]),
    ("tokens with a unit", limited("tokens: 32kb/min"), ["FILE:3:40: tokens: '32kb' is no amount; write it like 500, 500k or 1.5M"]),
    ("money in euros", limited("cost: €1/day"), ["FILE:3:38: cost: '€1' is no money; write dollars like 1.00 or $1.00"]),
    ("money for ever", limited("cost: 1.00"), ["FILE:3:23: limits: money that all runs share is gone for ever: say per what, like 1.00/day, or shared: false for that much in each run"]),
    ("concurrency 0", limited("concurrency: 0"), ["FILE:3:45: concurrency: must be at least 1, not 0"]),
    ("waiting misspelt", limited("on_exceed: pauze"), ["FILE:3:43: on_exceed: must be 'wait', 'pause', 'fail' or 'fallback', not the text 'pauze'; did you mean 'pause'?"]),
    ("unknown preset", limited("preset: openai/tier1"), ["FILE:3:40: unknown preset 'openai/tier1'; did you mean 'openai/tier-1'?"]),
    ("limits as a number", HEAD + "models: {m: {id: 'openai:x', limits: 3}}\n" + ONE, ["FILE:2:38: limits are a name under limits, an object like {requests: 9/min}, or a list of these"]),
    ("unknown limit of a model", HEAD + "limits: {acount: {requests: 9/min}}\nmodels: {m: {id: 'openai:x', limits: [account]}}\n" + ONE, ["FILE:3:39: unknown limit 'account'; did you mean 'acount'?"]),
    ("unknown limit of an agent", HEAD + "agents: {a: {command: [x], limits: gpu}}\n" + ONE, ["FILE:2:36: unknown limit 'gpu'; name it under limits"]),
    ("unknown limit of a plan", PLAN + "      a: {command: [x]}\n    limits: gpu\n", ["FILE:6:13: unknown limit 'gpu'; name it under limits"]),
    ("unknown limit of a step", PLAN + "      a: {command: [x], limits: gpu}\n", ["FILE:5:33: unknown limit 'gpu'; name it under limits"]),
    ("two limits of one's own", HEAD + "agents: {a: {command: [x], limits: [{spacing: 1s}, {spacing: 2s}]}}\n" + ONE, ["FILE:2:36: limits: a list of limits has names and one limit of its own at most"]),
    ("two limits of one endpoint", HEAD + "models:\n  a: {id: 'openai:x', limits: {requests: 9/min}}\n  b: {id: 'openai:x', limits: {requests: 8/min}}\n" + ONE, ["FILE:4:23: models 'a' and 'b' are one, and state different limits; state them under 'a' alone"]),
    ("limit with a run's name", HEAD + "limits: {run: {concurrency: 1}}\n" + ONE, ["FILE:2:10: 'run' has another meaning in templates: rename it"]),
    ("units of nothing", used("{gup: 1}"), ["FILE:6:37: unknown limit 'gup'; did you mean 'gpu'?"]),
    ("units of a rate", used("{api: 1}"), ["FILE:6:37: limit 'api' has no units: it has no concurrency; agents claim such a limit by 'limits'"]),
    ("more units than there are", used("{gpu: 3}"), ["FILE:6:37: limit 'gpu' has 2 units: 3 are never free"]),
    ("no units", used("{gpu: 0}"), ["FILE:6:37: gpu: must be at least 1, not 0"]),
    ("a broken limit has no followers", HEAD + "limits: {gpu: {concurrency: x}}\nplans: {p: {steps: {a: {command: [x], uses: {gpu: 9}}}}}\n", ["FILE:2:29: concurrency: must be a whole number, not the text 'x'"]),
    ("hedge as a share", steps("a: {agent: ada, prompt: x, hedge: 0.95}"), ["FILE:7:41: hedge: 0.95 is no quantile; write p95, or another from p50 to p99"]),
    ("hedge too early", steps("a: {agent: ada, prompt: x, hedge: p10}"), ["FILE:7:41: hedge: 'p10' is no quantile; write p95, or another from p50 to p99"]),
    ("hedge with effects", steps("a: {command: [x], hedge: p95}"), ["FILE:7:32: a second call beside the first could do harm twice: agent 'a' has effects; say effects: false if it may be repeated"]),
    ("budget of nothing", budgeted("{per: day}"), ["FILE:6:5: budget: a budget says how much: cost in dollars, or tokens, or both"]),
    ("budget by another name", budgeted("{usd: 1.00}"), ["FILE:6:14: unknown key 'usd'; write cost: 1.00"]),
    ("budget in dollars a day", budgeted("1.00/day"), ["FILE:6:13: cost: '1.00/day' is no money; write dollars like 1.00 or $1.00"]),
    ("budget of nought", budgeted("0"), ["FILE:6:13: cost: dollars lie above 0 and are 1,000,000 at most"]),
    ("budget that waits", budgeted("{cost: 1, on_exceed: wait}"), ["FILE:6:34: on_exceed: must be 'pause', 'fail' or 'fallback', not the text 'wait'"]),
    ("two budgets per run", budgeted("[1.00, {tokens: 500k}]"), ["FILE:6:13: budget: a list of budgets has one per run and one per day"]),
    ("budget true", budgeted("true"), ["FILE:6:13: a budget is dollars, an object like {cost: 1.00, per: day}, or a list of these"]),
    ("weight 0", PLAN + "      a: {command: [x]}\n    weight: 0\n", ["FILE:6:13: weight: must be more than 0, not 0"]),
    ("budget of a nested plan", HEAD + "plans:\n  p: {steps: {a: {run: q}}}\n  q: {budget: 1.00, steps: {b: {command: [x]}}}\n", ["FILE:3:24: plan 'q' has a budget of its own, which would not hold within another; state them in plan 'p', or of the agents"]),
    # -- several at once, in order
    ("several", steps("a: {agent: adda, prompt: '{{b.x}}', tiemout: 3}", "b: {agent: ada, prompt: x, needs: [c]}", "d: {agent: adaa, prompt: x}"), ["FILE:7:43: unknown key 'tiemout'; did you mean 'timeout'?", "FILE:8:42: unknown step 'c'", "FILE:9:18: unknown agent 'adaa'; did you mean 'ada'?"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "expected"), [row[1:] for row in FILES], ids=[r[0] for r in FILES]
)
def test_a_bad_file_says_what_is_wrong_and_where(
    content: str | bytes, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_bytes(content if isinstance(content, bytes) else content.encode())
    start = time.process_time()
    with pytest.raises(CallerError) as caught:
        load("FILE")
    assert str(caught.value).splitlines() == expected
    assert time.process_time() - start < 15


def test_there_are_as_many_rows_as_were_promised() -> None:
    assert len(FILES) >= 40
    assert len({row[0] for row in FILES}) == len(FILES)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CallerError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{tmp_path}: this is a folder, not a file"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallerError) as caught:
        load(tmp_path / "hocket.yaml")
    assert str(caught.value) == f"{tmp_path / 'hocket.yaml'}: there is no such file"


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(CallerError, match="cannot be read: embedded null byte"):
        load("a\0b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "hocket.yaml"
    path.touch(stat.S_IWUSR)
    with pytest.raises(CallerError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: cannot be read: Permission denied"


def test_a_device_without_end_is_read_to_the_bound() -> None:
    with pytest.raises(CallerError, match="more than 1 MiB"):
        load("/dev/zero")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("relese", "FILE: there is no plan 'relese'; did you mean 'release'?"),
        (None, "FILE: which plan? There are release, other, within"),
    ],
)
def test_a_plan_that_cannot_be_chosen_is_named(plan: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "FILE"
    one = "{steps: {a: {command: [x]}}}"
    nested = "{steps: {a: {run: within}}}"
    plans = f"  within: {one}\n  release: {nested}\n  other: {one}\n"
    path.write_text(f"version: 1\nplans:\n{plans}")
    with pytest.raises(CallerError) as caught:
        load(path, plan)
    assert str(caught.value) == said.replace("FILE", str(path))


LIMITED = """
import re, resource, sys
from pathlib import Path
from hocket.config.file import load
from hocket.core.errors import CallerError
resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))
for name in sys.argv[1:]:
    try:
        load(name)
    except CallerError:
        continue
    sys.exit(f"{name} was taken")
# What getrusage tells includes the process that started this one.
status = Path("/proc/self/status")
if status.exists():
    print(int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) * 1024)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_no_bad_file_fills_the_memory(tmp_path: Path) -> None:
    for name, content, _ in FILES:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *(row[0] for row in FILES)],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) < 400 << 20

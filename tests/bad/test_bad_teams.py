# ruff: noqa: E501
"""Bad files with teams, tools and caches, one a row, each with the exact message it gives.

A row is a name, the file, and the lines that are told.
``FILE`` stands for the file's name.
"""

from pathlib import Path

import pytest

from hocket.config.file import load
from hocket.core.errors import CallerError

HEAD = "version: 1\n"
PLAN = HEAD + "plans:\n  p:\n    steps:\n"
AGENT = HEAD + "agents:\n  ada: {model: 'openai:x'}\nplans:\n  p:\n    steps:\n"
ONE = "plans: {p: {steps: {a: {command: [x]}}}}\n"
CONSENSUS = "q: {consensus: {question: x, agents: [ada, ada]}, output: {title: str}}"


def steps(*lines: str, head: str = AGENT) -> str:
    return head + "".join(f"      {line}\n" for line in lines)


def asked(more: str = "", agents: str = "[ada, ada]") -> str:
    return steps(f"q: {{consensus: {{question: x, agents: {agents}{more}}}}}")


def judged(more: str, by: str = "ada") -> str:
    return steps(f"r: {{review: {{of: x, by: {by}{more}}}}}")


def panel(*lines: str) -> str:
    return steps("r:", "  panel:", *(f"    {line}" for line in lines))


def tool(about: str, agent: str = "{model: 'openai:x', tools: [grep]}") -> str:
    return f"{HEAD}tools:\n  grep: {about}\nagents:\n  ada: {agent}\n{ONE}"


def agent(about: str) -> str:
    return f"{HEAD}agents:\n  ada: {about}\n{ONE}"


FILES: list[tuple[str, str, list[str]]] = [
    # -- consensus
    ("consensus without agents", steps("q: {consensus: {question: x}}"), ["FILE:7:11: 'agents' is missing"]),
    ("consensus without question", steps("q: {consensus: {question: , agents: [ada, ada]}}"), ["FILE:7:33: question: cannot be empty"]),
    ("unknown key of a consensus", asked(", polcy: once"), ["FILE:7:56: unknown key 'polcy'; did you mean 'policy'?"]),
    ("unknown policy", asked(", policy: rounds_"), ["FILE:7:64: policy: must be 'once', 'rounds', 'restart_all', 'restart_unanswered', 'cancel', 'inject', 'batch' or 'sequential', not the text 'rounds_'; did you mean 'rounds'?"]),
    ("rounds under another policy", asked(", rounds: 2"), ["FILE:7:64: rounds is about policy 'rounds', and the policy is 'once'"]),
    ("batch without how long", asked(", policy: batch"), ["FILE:7:11: policy 'batch' needs to know for how long answers are collected; batch: 5s"]),
    ("unknown rule", asked(", decide: majorty"), ["FILE:7:64: decide: unknown rule 'majorty'; did you mean 'majority'?"]),
    ("share above one", asked(", decide: 60"), ["FILE:7:64: decide: a share lies above 0 and is 1 at most, not 60"]),
    ("decide true", asked(", decide: true"), ["FILE:7:64: decide: it is plurality, majority, unanimous, or a share of the weight like 0.6"]),
    ("unknown member", asked(agents="[ada, bob]"), ["FILE:7:50: unknown agent 'bob'"]),
    ("unknown member of many", asked(agents="[ada, {agent: adda, count: 5}]"), ["FILE:7:50: unknown agent 'adda'; did you mean 'ada'?"]),
    ("consensus of one", asked(agents="[ada]"), ["FILE:7:44: a team like this has 2 to 1,000 members, not 1; name another agent, or give one several seats with count"]),
    ("two members of one name", asked(agents="[{agent: ada, count: 2}, {agent: ada, name: ada-1}]"), ["FILE:7:69: two members are called 'ada-1'; give each a name of its own, or a count"]),
    ("a member's count", asked(agents="[{agent: ada, count: 0}]"), ["FILE:7:65: count: must be at least 1, not 0"]),
    ("a member's misspelt key", asked(agents="[{agent: ada, wieght: 2}]"), ["FILE:7:58: unknown key 'wieght'; did you mean 'weight'?"]),
    ("weights that count nothing", asked(", weigh: equal", agents="[{agent: ada, weight: 2}, ada]"), ["FILE:7:83: members have weights, and votes are weighed by 'equal'; weigh: agent"]),
    ("quorum of a consensus", asked(", quorum: 3"), ["FILE:7:64: quorum 3 of 2 members cannot be met"]),
    ("presenter without synthesis", asked(", presenter: ada"), ["FILE:7:67: final is 'reuse', and a presenter is for 'synthesize'"]),
    ("unknown presenter", asked(", final: synthesize, presenter: bob"), ["FILE:7:86: unknown agent 'bob'"]),
    ("field of a consensus", steps(CONSENSUS, "b: {agent: ada, prompt: '{{q.anwser}}'}"), ["FILE:8:34: 'q' has no field 'anwser'; it has answer, winner, decision, forced, tally, votes, dissent, answers, …; did you mean 'answer'?"]),
    ("field of an answer", steps(CONSENSUS, "b: {agent: ada, prompt: '{{q.answer.titel}}'}"), ["FILE:8:34: 'q.answer' has no field 'titel'; it has title; did you mean 'title'?"]),
    ("answer of nobody", steps(CONSENSUS, "b: {agent: ada, prompt: '{{q.answers.ada-3}}'}"), ["FILE:8:34: 'q.answers' has no field 'ada-3'; it has ada-1, ada-2; did you mean 'ada-2'?"]),
    ("setting of a member", HEAD+"agents:\n  ada: {model: 'openai:x'}\n  sh: {command: [cat]}\n"+PLAN[11:]+"      q: {consensus: {question: x, agents: [ada, sh]}, temperature: 0.5}\n", ["FILE:8:69: agent 'sh' is a command, which has no setting 'temperature'; set it of those agents that have it"]),
    ("consensus that is an agent's", steps("q: {agent: ada, consensus: {question: x, agents: [ada, ada]}}"), ["FILE:7:23: a step has either 'agent' or 'consensus', not both"]),
    ("hedge of a member with effects", HEAD+"agents:\n  sh: {command: [cat]}\n"+PLAN[11:]+"      q: {consensus: {question: x, agents: [sh, sh]}, hedge: p95}\n", ["FILE:7:62: a second call beside the first could do harm twice: agent 'sh' has effects; say effects: false if it may be repeated"]),
    # -- review
    ("review of nothing", steps("r: {review: {by: ada}}"), ["FILE:7:11: 'of' is missing"]),
    ("review of a step has no of", steps("a: {agent: ada, prompt: x, review: {of: x, by: ada}}"), ["FILE:7:43: unknown key 'of'; known: by, swarm, protocol, threshold, criteria, fail_open, open_weight, waves, early, max_rounds, fixer"]),
    ("review by nobody", steps("a: {agent: ada, prompt: x, review: {swarm: 3}}"), ["FILE:7:34: 'by' is missing"]),
    ("review by an unknown agent", steps("a: {agent: ada, prompt: x, review: {by: [ada, adda]}}"), ["FILE:7:53: unknown agent 'adda'; did you mean 'ada'?"]),
    ("unknown fixer", steps("a: {agent: ada, prompt: x, review: {by: ada, fixer: bob}}"), ["FILE:7:59: unknown agent 'bob'"]),
    ("rounds that nobody mends", judged(", max_rounds: 3"), ["FILE:7:48: there are several rounds, and nobody who could mend what was found between them; name a model as fixer, or leave max_rounds out"]),
    ("unknown protocol", judged(", protocol: self_correct"), ["FILE:7:46: protocol: must be 'single' or 'self-correct', not the text 'self_correct'; did you mean 'self-correct'?"]),
    ("review of an approval", steps("a: {approve: x, review: {of: y, by: ada}}"), ["FILE:7:20: approve: a step that does work is approved of with true, or with timeout, on_timeout and confirm_effects; one that shows a text does nothing else"]),
    ("field of a review", steps("r: {review: {of: x, by: ada}}", "b: {agent: ada, prompt: '{{r.aproved}}'}"), ["FILE:8:34: 'r' has no field 'aproved'; it has approved, score, verdicts, issues, rounds, artefact, calls; did you mean 'approved'?"]),
    # -- panel
    ("panel without reply", panel("question: x", "agents: {m: ada}"), ["FILE:8:9: 'synthesis' is missing"]),
    ("panel without contributors", panel("question: x", "agents: {}", "synthesis: ada"), ["FILE:10:11: agents: cannot be empty"]),
    ("contributor of no kind", panel("question: x", "agents: {m: {agnt: ada}}", "synthesis: ada"), ["FILE:10:20: a contributor is an agent's name, or it is an object with one of agent, command, shell, call, run; did you mean 'agent'?"]),
    ("contributor of two kinds", panel("question: x", "agents: {m: {agent: ada, command: [x]}}", "synthesis: ada"), ["FILE:10:36: a step of a panel has either 'agent' or 'command', not both"]),
    ("contributor that a panel has", panel("question: x", "agents: {missing: ada}", "synthesis: ada"), ["FILE:10:29: 'missing' has another meaning in a panel: rename it"]),
    ("unknown contributor's agent", panel("question: x", "agents: {m: adda, n: {agent: ada, fallback: bob}}", "synthesis: {agent: eve}"), ["FILE:10:23: unknown agent 'adda'; did you mean 'ada'?", "FILE:10:55: unknown agent 'bob'", "FILE:11:30: unknown agent 'eve'"]),
    ("misspelt name in a panel", panel("question: x", "agents:", "  memory: ada", "  m: {agent: ada, prompt: 'of {{memroy}} and {{question}}'}", "synthesis: ada"), ["FILE:12:43: unknown name 'memroy'; did you mean 'memory'?"]),
    ("misspelt step in a condition", panel("question: x", "select: \"['m']\"", "agents:", "  m: {agent: ada, when: inputs.x == 1}", "synthesis: ada"), ["FILE:12:35: unknown input 'x'"]),
    ("misspelt field outside a panel", steps(CONSENSUS, "r:", "  panel:", "    question: x", "    agents: {m: {agent: ada, prompt: 'see {{question}} {{q.answer.titel}}'}}", "    synthesis: ada"), ["FILE:11:64: 'q.answer' has no field 'titel'; it has title; did you mean 'title'?"]),
    ("bad expression in a panel", panel("question: x", "select: \"['m']\"", "agents: {m: {agent: ada, when: 1 = 1}}", "synthesis: ada"), ["FILE:11:44: unexpected '=' in an expression; write == to compare"]),
    ("bad question of a panel", panel("question: 'on {{b'", "agents: {m: ada}", "synthesis: ada"), ["FILE:9:28: expected '}}', found the end"]),
    ("quorum of a panel", panel("question: x", "agents: {m: ada}", "quorum: 2", "synthesis: ada"), ["FILE:11:19: quorum 2 of 1 wants cannot be met"]),
    ("within of a panel", panel("question: x", "agents: {m: ada}", "within: 4 secs", "synthesis: ada"), ["FILE:11:19: within: '4 secs' is not a duration; write it like '90s', '10m' or '1h30m'"]),
    ("learned without a cap", panel("question: x", "agents: {m: ada}", "within: {learned: p95}", "synthesis: ada"), ["FILE:11:11: 'cap' is missing"]),
    ("within a list", panel("question: x", "agents: {m: ada}", "within: [4s]", "synthesis: ada"), ["FILE:11:19: within is a duration like 4s, or an object like {learned: p95, cap: 10s}"]),
    ("unknown name in select", panel("question: x", "select: \"run.id and ['mm', 'm']\"", "agents: {m: ada}", "synthesis: ada"), ["FILE:10:32: unknown contributor 'mm'; did you mean 'm'?"]),
    ("select of one name", panel("question: x", "select: \"'m'\"", "agents: {m: ada}", "synthesis: ada"), ["FILE:10:19: select gives a list of names, not 'm'; write ['m']"]),
    ("router of no kind", panel("question: x", "agents: {m: ada}", "select: {agnet: ada}", "synthesis: ada"), ["FILE:11:11: a router is an object with one of agent, command, shell, call; did you mean 'agent'?"]),
    ("about a stranger", panel("question: x", "agents: {memory: ada}", "about: {memroy: x}", "synthesis: ada"), ["FILE:11:27: unknown contributor 'memroy'; did you mean 'memory'?"]),
    ("contributors in a loop", panel("question: x", "agents:", "  m: {agent: ada, prompt: '{{n}}'}", "  n: {agent: ada, prompt: '{{m}}'}", "synthesis: ada"), ["FILE:11:37: steps wait for each other: m → n → m"]),
    ("field of a panel", steps("r: {panel: {question: x, agents: {m: ada}, synthesis: ada}}", "b: {agent: ada, prompt: '{{r.contributions.n}}'}"), ["FILE:8:34: 'r.contributions' has no field 'n'; it has m"]),
    ("contributor that runs an unknown plan", panel("question: x", "agents: {m: {run: q}}", "synthesis: ada"), ["FILE:10:29: unknown plan 'q'"]),
    ("revise nonsense", panel("question: x", "agents: {m: ada}", "revise: soon", "synthesis: ada"), ["FILE:11:19: revise: 'soon' is not a duration; write it like '90s', '10m' or '1h30m'"]),
    # -- tools
    ("no kind of tool", tool("{comand: [x]}"), ["FILE:3:3: a tool is an object with one of command, function, mcp; did you mean 'command'?"]),
    ("tool of two kinds", tool("{command: [x], function: 'm:f'}"), ["FILE:3:24: a tool has either 'command' or 'function', not both"]),
    ("unknown key of a tool", tool("{command: [x], aprove: true}"), ["FILE:3:24: unknown key 'aprove'; did you mean 'approve'?"]),
    ("unknown tool", tool("{command: [x]}", "{model: 'openai:x', tools: [gerp]}"), ["FILE:5:36: unknown tool 'gerp'; did you mean 'grep'?"]),
    ("tool named twice", tool("{command: [x]}", "{model: 'openai:x', tools: [grep, grep]}"), ["FILE:5:42: tool 'grep' is named twice"]),
    ("tools of a command", tool("{command: [x]}", "{command: [x], tools: [grep]}"), ["FILE:5:23: unknown key 'tools'; models and scripted agents call tools, no others"]),
    ("tool called turn", f"{HEAD}tools:\n  turn: {{command: [x]}}\nagents:\n  ada: {{model: 'openai:x', tools: turn}}\n{ONE}", ["FILE:3:3: no tool can be called 'turn': so are the turns of a conversation; rename it"]),
    ("tool with a slash", f"{HEAD}tools:\n  a/b: {{command: [x]}}\n{ONE}", ["FILE:3:3: a tool's name has letters a-z, digits, '_' and '-', first a letter, at most 64 in all; not 'a/b'"]),
    ("argument that no tool takes", tool("{command: [x, '{{args.pattern}}'], args: {patern: str}}"), ["FILE:3:26: 'args' has no field 'pattern'; it has patern; did you mean 'patern'?"]),
    ("argument that may be missing", tool("{command: [x, '{{args.path}}'], args: {path?: str}}"), ["FILE:3:26: the argument 'path' may be missing; give it a default, as {type: string, default: …}"]),
    ("a tool's step", tool("{command: [x, '{{inputs.path}}']}"), ["FILE:3:26: unknown name 'inputs'; a tool's texts know args alone"]),
    ("a tool's option", tool("{command: [x, '{{args.path}}', -r], args: {path: str}}"), ["FILE:3:40: '-r' stands beside a value that could become an option too: put options before all values, or set allow_dashes: true"]),
    ("type of an argument", tool("{command: [x], args: {path: strng}}"), ["FILE:3:24: args: field 'path' has the unknown type 'strng'; did you mean 'str'?"]),
    ("arguments as list", tool("{command: [x], args: [path]}"), ["FILE:3:30: args: arguments have names and types, like {pattern: str}"]),
    ("a tool's stdin", tool("{command: [x], stdin: '{{args.x', args: {x: str}}"), ["FILE:3:40: expected '}}', found the end"]),
    ("a tool's secret", tool("{command: [x], env: {API_KEY: abc}}"), ["FILE:3:39: API_KEY looks like a secret, and the journal keeps what stands here; set it in the environment and write env_pass: [API_KEY]"]),
    ("a tool's folder", tool("{command: [x], cwd: '{{args.x}}', args: {x: str}}"), ["FILE:3:29: settings have no templates: give values by arguments or stdin"]),
    ("limit of a tool", tool("{command: [x], limits: api}"), ["FILE:3:32: unknown limit 'api'; name it under limits"]),
    # -- kept answers
    ("unknown cache", agent("{model: 'openai:x', cache: exakt}"), ["FILE:3:35: cache: it is off, exact, similar, for how long, as 1h, or an object like {mode: exact, ttl: 1h}; did you mean 'exact'?"]),
    ("cache for no time", agent("{model: 'openai:x', cache: 0}"), ["FILE:3:35: ttl: must be more than 0, not 0"]),
    ("cache for a bad time", agent("{model: 'openai:x', cache: 1 hour}"), ["FILE:3:35: cache: '1 hour' is not a duration; write it like '90s', '10m' or '1h30m'"]),
    ("cache true", agent("{model: 'openai:x', cache: true}"), ["FILE:3:35: cache: it is off, exact, similar, for how long, as 1h, or an object like {mode: exact, ttl: 1h}"]),
    ("similar without a model", agent("{model: 'openai:x', cache: similar}"), ["FILE:3:35: to tell what is similar a model has to say what prompts mean; say embed: {model: …}"]),
    ("embed of exact", agent("{model: 'openai:x', cache: {embed: {model: x}}}"), ["FILE:3:36: embed is about mode: similar, and the mode is 'exact'"]),
    ("cache of effects", agent("{command: [x], cache: 1h}"), ["FILE:3:30: an answer that is given again does nothing, and this agent has effects; say effects: false if its calls change nothing"]),
    ("misspelt key of a cache", agent("{model: 'openai:x', cache: {tll: 1h}}"), ["FILE:3:36: unknown key 'tll'; did you mean 'ttl'?"]),
    ("turns", agent("{model: 'openai:x', max_turns: 0}"), ["FILE:3:39: max_turns: must be at least 1, not 0"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "expected"), [row[1:] for row in FILES], ids=[r[0] for r in FILES]
)
def test_a_bad_file_says_what_is_wrong_and_where(
    content: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text(content)
    with pytest.raises(CallerError) as caught:
        load("FILE")
    assert str(caught.value).splitlines() == expected


def test_no_two_rows_are_of_one_kind() -> None:
    assert len({row[0] for row in FILES}) == len({row[1] for row in FILES}) == len(FILES)

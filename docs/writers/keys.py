"""What the keys of a file become, and what its reader must know of them besides."""

from __future__ import annotations

from pydantic import BaseModel

from hocket.agents.command import CommandOptions
from hocket.agents.function import FunctionOptions
from hocket.agents.local import LocalOptions
from hocket.agents.mcp import McpOptions
from hocket.agents.model import ModelOptions
from hocket.agents.session_options import SessionOptions
from hocket.config import (
    mcp_parts,
    models,
    panel_parts,
    population_parts,
    step_parts,
    team_parts,
    tool_parts,
)
from hocket.config.limit_parts import BudgetPart, LimitPart
from hocket.config.price import PricePart
from hocket.config.simulate_parts import ActorPart, LatencyPart, PeoplePart, SimulatePart
from hocket.core import specs, teams
from hocket.workflows import panel

STRUCTS: dict[type[BaseModel], tuple[type, ...]] = {
    step_parts.RetryPart: (specs.Retry,),
    step_parts.RepeatPart: (specs.Repeat,),
    step_parts.ApprovalPart: (specs.Approval,),
    models.ModelPart: (ModelOptions,),
    LimitPart: (specs.LimitSpec,),
    models.ModelAgent: (ModelOptions, specs.AgentSpec),
    models.CommandAgent: (CommandOptions, specs.AgentSpec),
    models.FunctionAgent: (FunctionOptions, specs.AgentSpec),
    models.LocalAgent: (LocalOptions, specs.AgentSpec),
    models.SessionAgent: (SessionOptions, specs.AgentSpec),
    models.ScriptedAgent: (specs.AgentSpec,),
    models.InputPart: (specs.InputSpec,),
    models.DefaultsPart: (specs.StepSpec,),
    models.AgentPart: (specs.AgentSpec,),
    step_parts.CommandSettings: (CommandOptions,),
    step_parts.StepPart: (specs.StepSpec,),
    step_parts.WorkPart: (specs.StepSpec,),
    step_parts.CallPart: (specs.StepSpec,),
    step_parts.AgentStep: (specs.StepSpec,),
    step_parts.CommandStep: (specs.StepSpec, CommandOptions, specs.AgentSpec),
    step_parts.ShellStep: (specs.StepSpec, CommandOptions, specs.AgentSpec),
    step_parts.FunctionStep: (specs.StepSpec, FunctionOptions, specs.AgentSpec),
    step_parts.ApproveStep: (specs.StepSpec,),
    step_parts.InputStep: (specs.StepSpec,),
    step_parts.NestedStep: (specs.StepSpec,),
    population_parts.PopulationStep: (specs.StepSpec, specs.AgentSpec),
    panel_parts.TeamStep: (specs.StepSpec,),
    panel_parts.ConsensusStep: (specs.StepSpec,),
    panel_parts.ReviewStep: (specs.StepSpec,),
    panel_parts.PanelStep: (specs.StepSpec,),
    team_parts.SeatPart: (teams.Member,),
    team_parts.ConsensusPart: (teams.ConsensusSpec,),
    team_parts.ReviewPart: (teams.ReviewSpec,),
    team_parts.ReviewOfPart: (teams.ReviewSpec,),
    panel_parts.PanelPart: (panel.Panel,),
    panel_parts.LearnedPart: (specs.Learned,),
    models.ToolUser: (specs.AgentSpec,),
    tool_parts.ToolPart: (teams.ToolSpec, specs.AgentSpec),
    tool_parts.CommandTool: (teams.ToolSpec,),
    tool_parts.FunctionTool: (teams.ToolSpec, FunctionOptions),
    tool_parts.McpTool: (teams.ToolSpec, McpOptions),
    mcp_parts.McpProgram: (McpOptions,),
    mcp_parts.McpAddress: (McpOptions,),
    tool_parts.CachePart: (teams.CacheSpec,),
    models.PlanPart: (specs.PlanSpec, specs.RunSpec),
}
"""What the keys of each part become; its docstrings say more, and hold the defaults."""

MEANINGS: dict[str, str] = {
    "FilePart.version": "The version of the file's format.",
    "FilePart.limits": "Limits by name; all runs of the state folder share those of one name.",
    "FilePart.models": "Models by name.",
    "LimitPart.preset": "A provider's tier to begin with, such as `openai/tier-1`; `hocket limits "
    "--presets` lists them. The keys beside it win.",
    "LimitPart.requests": "Calls that start; several rates all hold.",
    "LimitPart.cost": "Dollars, such as `0.50/day`; in all only with `shared: false`.",
    "LimitPart.concurrency": "Units in use at once; a call holds its units from its start to its "
    "end.",
    "LimitPart.spacing": "The least time between two starts.",
    "LimitPart.margin": "How much later than it was sent a request may be counted by the server. "
    "By default 250 ms to begin with, and learned from round trips.",
    "LimitPart.shared": "Whether all runs of the state folder share it; if not, each run has its "
    "own.",
    "LimitPart.adaptive": "Whether refusals, the provider's headers and failures of the endpoint "
    "narrow it. By default for models, and where there are rates of requests or tokens or nothing "
    "at all.",
    "LimitPart.on_exceed": "What becomes of a call that does not fit and will not by waiting for "
    "calls in flight: it waits, the run is paused, the call fails, or the step's fallback takes "
    "over.",
    "BudgetPart.cost": "Dollars.",
    "BudgetPart.tokens": "Tokens read and written together.",
    "BudgetPart.per": "Each run has it, or all runs of the state folder within 24 hours.",
    "BudgetPart.on_exceed": "What becomes of a call whose most would not fit: the run is paused, "
    "the call fails, or the step's fallback takes over.",
    "ModelPart.limits": "The model's own limit, the names of others, or both: `{requests: 9/min}`, "
    "`account`, `[account, {requests: 9/min}]`. Whoever asks the model at its address shares it.",
    "PlanPart.limits": "Limits that every call of a run claims. A plan that another one runs has "
    "none.",
    "PlanPart.budget": "The most that a run may spend; a number is dollars.",
    "PlanPart.priority": "Runs of a higher one go first where limits are shared.",
    "PlanPart.weight": "The share of a contended limit, beside other runs of the same priority.",
    "PlanPart.deadline": "How long after its start a run should be over; nearer ones go first. It "
    "is a wish, not a timeout.",
    "limits": "Limits that each call claims: a name under `limits`, a limit of its own, or a list "
    "of names and one of its own.",
    "budget": "The most that all its calls may spend; a number is dollars of each run.",
    "takes": "How long a call is expected to take. By default what earlier calls of the step took.",
    "hedge": "The quantile of earlier durations after which a call gets a second one beside it; "
    "only where a repetition does no harm.",
    "uses": "Units of limits with a concurrency that each call of the step holds while it runs: "
    "`{gpu: 1, license: 2}`.",
    "FilePart.agents": "Agents by name.",
    "FilePart.plans": "Plans by name.",
    "FilePart.simulate": "What simulations assume; runs do not read it.",
    "FilePart.tools": "What agents may call: commands, functions and MCP tools by name.",
    "FilePart.mcp": "MCP servers by name, whose tools may stand under `tools`.",
    "McpProgram.command": "The program and its arguments; no shell reads them.",
    "McpProgram.cwd": "Its working folder. By default the file's own.",
    "McpAddress.url": "Where it is: `https://…`, or `http://` on this machine.",
    "McpTool.mcp": "The server: a name under `mcp`.",
    "McpTool.tool": "What the server calls it. By default its name here.",
    "McpTool.pin": "Names the tool by `tool`, `about` and `args`; `hocket mcp FILE --pin` gives it."
    " A tool that has another one by now is not called.",
    "McpTool.args": "The JSON Schema of its arguments, word for word as its server gives it.",
    "cache": "How long answers are given again: `off`, `exact`, `similar`, for how long, as `1h`, "
    "or an [object](#cache). Only for agents without effects.",
    "ToolUser.tools": "Names under `tools`: what it may call. Each turn and each call of a tool is "
    "a call of the run.",
    "ToolUser.max_turns": "The most turns of one conversation; in the last one no tool can be "
    "called.",
    "ToolPart.about": "What it does, for the model. By default the beginning of a function's "
    "docstring.",
    "ToolPart.approve": "Whether a person approves of each call first.",
    "ToolPart.timeout": "The longest that one call may take.",
    "ToolPart.tries": "How many tries a call has in all.",
    "CommandTool.command": "The program and its arguments; texts are templates that know `args`. "
    "Those from the first template on are data, and cannot pass for options.",
    "CommandTool.args": "What the model gives: [arguments](#arguments). By default none.",
    "CommandTool.stdin": "What the program reads; a template that knows `args`.",
    "FunctionTool.function": "The function, as `module:qualname`; modules beside the file are "
    "found.",
    "FunctionTool.args": "What the model gives: [arguments](#arguments). By default they are read "
    "from the function's signature when a run begins, for a file that is only checked imports "
    "nothing.",
    "CachePart.mode": "`off`; `exact`: everything that goes into the call is equal; `similar`: the "
    "prompt may differ, as long as its meaning is near enough.",
    "CachePart.ttl": "For how long an answer counts. By default for ever.",
    "CachePart.threshold": "The least cosine similarity of two prompts for `similar`.",
    "CachePart.embed": "The model that says what a prompt means; for `similar`.",
    "EmbedPart.model": "The model's own name.",
    "EmbedPart.base_url": "A server of OpenAI's protocol.",
    "EmbedPart.key_env": "The variable that holds the key.",
    "ConsensusPart.question": "What everybody is asked: a template.",
    "ConsensusPart.agents": "Who takes part, in the order that breaks ties: names of agents, or "
    "[seats](#a-seat).",
    "ConsensusPart.policy": "What happens to the others when an agent gives an answer; see "
    "[below](#policies).",
    "ConsensusPart.rounds": "How often an agent may revise its answer; for policy `rounds`.",
    "ConsensusPart.batch": "How long new answers are collected; policy `batch` needs it.",
    "ConsensusPart.decide": "What decides: most votes (`plurality`), more than half (`majority`), "
    "all (`unanimous`), or at least this share of the weight.",
    "ConsensusPart.weigh": "What a vote weighs: all alike, by the seat's weight, or by its "
    "confidence. By default `agent` if a seat has a weight, else `equal`.",
    "ConsensusPart.of": "Whether shares are of all members' weight, or of the votes cast.",
    "ConsensusPart.tie": "How a tie is broken: by the order of `agents`, or by a run-off between "
    "the tied.",
    "ConsensusPart.votes": "Whether votes are asked all at once, or never more than the decision "
    "still needs.",
    "ConsensusPart.max_duration": "The longest that it all may take; then the votes so far decide, "
    "else the best-supported answer.",
    "ConsensusPart.lead": "The most revisions that a member may be ahead of the slowest one.",
    "ConsensusPart.soft": "After how long in a round those who are done go on without the rest, "
    "once `quorum` is there.",
    "ConsensusPart.hard": "After how long in a round those who are not done are cut off.",
    "ConsensusPart.quorum": "The fewest members who must have given an answer.",
    "ConsensusPart.final": "What is given in the end: the winner's answer as it is (`reuse`), one "
    "that the winner writes with all answers and votes in view (`present`), or one that "
    "`presenter` makes of all answers (`synthesize`).",
    "ConsensusPart.presenter": "The agent that synthesizes. By default the winner.",
    "ReviewPart.by": "Who may review: names of agents, or [seats](#a-seat); reviewers take them in "
    "rotation.",
    "ReviewPart.protocol": "`single`: one structured call each; `self-correct`: assess, correct, "
    "vote.",
    "ReviewPart.fixer": "The agent that fixes what was found. By default the step's own.",
    "ReviewOfPart.of": "What is reviewed: a template.",
    "SeatPart.agent": "A name under `agents`.",
    "SeatPart.count": "How many seats it has; several are called `NAME-1`, `NAME-2` and so on.",
    "SeatPart.name": "What the seat is called, unique in the team. By default the agent's name.",
    "ConsensusStep.consensus": "Who is asked what, and what decides: [keys](#keys-of-consensus).",
    "ConsensusStep.output": "What an answer looks like; see [below](#output).",
    "ReviewStep.review": "What is reviewed by whom; see [below](#keys-of-review).",
    "PanelStep.panel": "Who contributes and who replies; see [below](#keys-of-panel).",
    "CallPart.review": "How the output is [reviewed](#keys-of-review) before the step has "
    "succeeded; there is no `of`, for it is what the step gives.",
    "TeamStep.temperature": "As the provider understands it, 0 to 2, for all that are asked.",
    "TeamStep.max_tokens": "The most tokens of an answer.",
    "TeamStep.settings": "More of pydantic-ai's model settings, such as `{seed: 7, top_p: 0.9}`.",
    "PanelPart.question": "What everybody is asked: a template.",
    "PanelPart.agents": "The contributors by name: an agent's name, or a step with one of `agent`, "
    "`command`, `shell`, `call`, `run` and its other keys. One that has no prompt gets the "
    "question. They begin at once unless they need one another; one that fails is missing, and "
    "nothing else happens. If all fail, so does the step.",
    "PanelPart.quorum": "How many contributions are enough to begin the reply. By default all that "
    "come in time.",
    "PanelPart.within": "How long contributions are waited for: a duration, or "
    "`{learned: p95, floor: 1s, cap: 10s}`, which is learned from earlier runs.",
    "PanelPart.select": "Who says which contributors are needed: an "
    "[expression](expressions.md) that gives a list of their names, or a step that does, as "
    '`{agent: router}` or `{call: "mod:fn"}`, which gets one text: the question and the names. '
    "By default all are asked, and so they are if it fails.",
    "PanelPart.about": "What each contributor is good at, by name, for a router.",
    "PanelPart.synthesis": "Who replies: an agent's name, or a step. Its texts know `question`, "
    "`contributions` and `missing`; without a prompt it gets all three, a function by "
    "these names.",
    "PanelPart.revise": "Whether a reply is revised when contributions come late, or for how long "
    "they are waited for; `true` is 30 s.",
    "PanelPart.revision": "Who revises, if not whoever replied; its texts know `reply`, too.",
    "LearnedPart.learned": "The quantile of what earlier calls took.",
    "LearnedPart.floor": "The shortest that it may be.",
    "LearnedPart.cap": "The longest that it may be; it holds where nothing is known.",
    "PlanPart.max_parallel": "The most calls of a run at once.",
    "PlanPart.steps": "Steps by name; their order breaks ties and nothing else.",
    "PlanPart.output": "What the plan gives: JSON with templates. By default the outputs of the "
    "steps that no other step waits for.",
    "PlanPart.timeout": "The longest that the whole may take.",
    "PlanPart.defaults": "What holds for every step that says nothing else.",
    "PlanPart.inputs": "What a run may or must be given: a list of names, or inputs by name.",
    "PricePart.in": "Dollars for a million tokens read.",
    "PricePart.out": "Dollars for a million tokens written.",
    "InputPart.required": "Whether a run must give it; by default if it has no `default`.",
    "RetryPart.first": "The first back-off.",
    "RetryPart.longest": "The longest back-off.",
    "RetryPart.on": "The [faults](errors.md) worth another try; never `permanent`.",
    "ModelPart.settings": "More of pydantic-ai's model settings, such as `{seed: 7}`.",
    "ModelAgent.model": "A name under `models`, or `provider:model`.",
    "LocalAgent.local": "Which model; there is one.",
    "FunctionAgent.function": "The function, as `module:qualname`; modules beside the file are "
    "found.",
    "RepeatPart.until": "The [expression](expressions.md); it sees the step's own new output by "
    "the step's name.",
    "RepeatPart.max": "The most rounds; a step that does not get there has failed.",
    "ScriptedAgent.scripted": "`replies` and `by`; see below.",
    "CommandAgent.command": "The program and its fixed arguments. The item `{prompt}` becomes the "
    "prompt, which otherwise goes to standard input.",
    "effects": "Whether repeating a call could do harm; such a call is never repeated unasked. By "
    "default true for commands and sessions, false for others.",
    "timeout": "The longest that one call, approval or input may take; by default an input has a "
    "day, and an approval 30 seconds for each step of the plan, 5 minutes at least.",
    "within": "How long after the needs the wants are waited for. By default as long as it takes.",
    "quorum": "How many wants are enough to start. By default all.",
    "needs": "Steps that must have succeeded. Steps named in templates and expressions are added.",
    "each": "An expression that gives a list; the step is done for each item, in parallel.",
    "when": "An expression; if it is false the step is skipped.",
    "SessionAgent.cwd": "The working folder, below the file's own; by default an empty one for "
    "each call, or with `worktree` the file's folder.",
    "SessionAgent.worktree": "Give each call a git worktree of the folder's repository at HEAD; "
    "the output is then `{text, diff}`.",
    "SessionAgent.command": "The program and its first arguments. By default `[claude]` and "
    "`[codex]`; needed for `acp`.",
    "cwd": "The working folder; a relative one is below the file's own, which is the default.",
    "output": "What the output looks like; see [below](#output).",
    "retry": "When a failed call is tried again; a number counts tries after the first. By default "
    "2 for models and the local model, 0 for others.",
    "repeat": "Do the step again until an expression holds.",
    "concurrency": "The most calls at once over the run. By default as many as there are "
    "processors for commands and for functions in processes, 4 for the local model, else no bound.",
    "keep": "How many bytes of output are kept; what is cut is said.",
    "quota": "The bytes of output and error output after which the program is killed.",
    "stdin": "What the program reads; a template.",
    "AgentStep.prompt": "What the agent gets: a template. A command reads it from standard input.",
    "AgentStep.agent": "A name under `agents`.",
    "AgentStep.with": "Instead of a prompt: JSON with templates for a model; a command's further "
    "arguments; a function's arguments, by name or as a list.",
    "AgentStep.seed": "For the local model: where chance comes from at a temperature above 0.",
    "CommandStep.command": "The program and its arguments; those from the first template on are "
    "data, and cannot pass for options.",
    "ShellStep.shell": "The text for `/bin/sh -c`; it has no templates.",
    "ShellStep.args": "What the text sees as `$1` and so on; templates.",
    "FunctionStep.call": "The function, as `module:qualname`; modules beside the file are found.",
    "FunctionStep.with": "Its arguments with templates: by name, or as a list.",
    "ApproveStep.approve": "What is shown to be approved: a template.",
    "ApproveStep.confirm_effects": "Whether `on_timeout: approve` is meant, although what waits "
    "for it has effects.",
    "WorkPart.approve": "Whether a person approves of exactly what the step will do before it does "
    "it; each item and each round for itself.",
    "PlanPart.approve": "Whether a person approves of a run of the plan before anything begins.",
    "ApprovalPart.timeout": "How long it is waited for; by default 30 seconds for each step of the "
    "plan, and 5 minutes at least.",
    "ApprovalPart.on_timeout": "What happens if nobody answers in time: `pause` the run, count as "
    "rejected, or as approved.",
    "ApprovalPart.confirm_effects": "Whether `approve` is meant, although what begins then has "
    "effects.",
    "InputStep.input": "What is asked: a template.",
    "NestedStep.run": "A name under `plans`.",
    "PopulationStep.population": "Who lives where, and for how long; see "
    "[below](#keys-of-population). Texts may hold templates, and so may `agents`, `ticks`, `seed` "
    "and `preferences` be one.",
    "PopulationStep.concurrency": "The most populations of this step at once. By default it shares "
    "one slot with all others of the run that say nothing, as each uses all processor cores.",
    "PopulationStep.retry": "When a failed call is tried again; it goes on where it was saved.",
    "PopulationPart.groups": "What groups have of their own, or further groups in the same world, "
    "by name; the group of `model` and `gmn` is called `agents`.",
    "PopulationPart.set": "Options of the example; `hocket population list` shows them.",
    "NestedStep.with": "The nested plan's inputs: by name, with templates.",
    "on_timeout": "What happens if nobody answers in time: `pause` the run, count as rejected, or "
    "as approved (approvals only).",
    "AgentStep.system": "What the model is told before the prompt.",
    "AgentStep.temperature": "As the provider understands it, 0 to 2.",
    "AgentStep.max_tokens": "The most tokens of an answer.",
    "AgentStep.structured": "How an output schema is held, as for the agent.",
    "DefaultsPart.timeout": "The longest that one call may take; not for approvals and inputs.",
    "AgentStep.stream": "Whether the text is shown while it comes.",
    "AgentStep.settings": "More of pydantic-ai's model settings, such as `{seed: 7, top_p: 0.9}`.",
}
"""Where a docstring does not say it as a file's writer needs it: by part and key, or by key."""

DEFAULTS: dict[str, str] = {
    "effects": "see text",
    "retry": "see text",
    "concurrency": "see text",
    "LimitPart.concurrency": "–",
    "LimitPart.margin": "see text",
    "LimitPart.adaptive": "see text",
    "LimitPart.spacing": "–",
    "SessionAgent.cwd": "see text",
    "SessionAgent.command": "see text",
    "SessionAgent.pool": "4; 1 for `codex`",
    "SessionAgent.turns": "1; 4 for `codex`",
    "cwd": "the file's folder",
    "required": "see text",
    "timeout": "1h; see text",
    "ApproveStep.timeout": "see text",
    "ApprovalPart.timeout": "see text",
    "PlanPart.timeout": "7d",
    "grace": "5s",
    "within": "–",
    "ApproveStep.retry": "–",
    "ToolPart.timeout": "1h",
    "ToolPart.about": "see text",
    "CommandTool.args": "–",
    "FunctionTool.args": "see text",
    "McpTool.tool": "see text",
    "McpTool.pin": "required",
    "McpTool.args": "–",
    "McpProgram.cwd": "see text",
    "ConsensusPart.weigh": "see text",
    "ConsensusPart.decide": "plurality",
    "ConsensusPart.batch": "–",
    "LearnedPart.floor": "0s",
    "PanelPart.revise": "false",
    "CachePart.ttl": "–",
    "LatencyPart.sigma": "–",
    "PeoplePart.after": "0s",
    "PeoplePart.approve": "true",
}

PARTS: tuple[tuple[str, str, tuple[type[BaseModel], ...]], ...] = (
    ("The file", "", (models.FilePart,)),
    (
        "A limit",
        "limits.NAME",
        (LimitPart, BudgetPart),
    ),
    ("A model", "models.NAME", (models.ModelPart, PricePart)),
    (
        "An agent",
        "agents.NAME",
        (
            models.AgentPart,
            models.ToolUser,
            step_parts.CommandSettings,
            models.ModelAgent,
            models.CommandAgent,
            models.FunctionAgent,
            models.LocalAgent,
            models.SessionAgent,
            models.ScriptedAgent,
        ),
    ),
    (
        "A tool",
        "tools.NAME",
        (
            tool_parts.ToolPart,
            tool_parts.CommandTool,
            tool_parts.FunctionTool,
            tool_parts.McpTool,
        ),
    ),
    ("An MCP server", "mcp.NAME", (mcp_parts.McpProgram, mcp_parts.McpAddress)),
    ("A cache", "agents.NAME.cache", (tool_parts.CachePart, tool_parts.EmbedPart)),
    ("A plan", "plans.NAME", (models.PlanPart, models.InputPart, models.DefaultsPart)),
    (
        "A step",
        "plans.NAME.steps.NAME",
        (
            step_parts.StepPart,
            step_parts.WorkPart,
            step_parts.CallPart,
            step_parts.AgentStep,
            step_parts.CommandStep,
            step_parts.ShellStep,
            step_parts.FunctionStep,
            panel_parts.TeamStep,
            panel_parts.ConsensusStep,
            panel_parts.ReviewStep,
            panel_parts.PanelStep,
            step_parts.ApproveStep,
            step_parts.InputStep,
            step_parts.NestedStep,
            population_parts.PopulationStep,
            step_parts.RetryPart,
            step_parts.RepeatPart,
            step_parts.ApprovalPart,
        ),
    ),
    (
        "A team",
        "plans.NAME.steps.NAME",
        (
            team_parts.SeatPart,
            team_parts.ConsensusPart,
            team_parts.ReviewPart,
            team_parts.ReviewOfPart,
            panel_parts.PanelPart,
            panel_parts.LearnedPart,
        ),
    ),
    (
        "A population",
        "plans.NAME.steps.NAME",
        (population_parts.PopulationPart, population_parts.GroupPart),
    ),
    ("Simulations", "simulate", (SimulatePart, ActorPart, LatencyPart, PeoplePart)),
)
BESIDES: dict[str, str] = {
    "A limit": ", or under a key `limits` of a model, an agent, a plan, or a step with an agent of "
    "its own",
    "A cache": ", or under a key `cache` of a tool",
    "A team": " in `consensus`, `review` and `panel`",
    "A population": " in `population`",
}
"""Where else a part may stand."""
TITLES: dict[type[BaseModel], str] = {
    models.FilePart: "Keys",
    LimitPart: "Keys of a limit",
    BudgetPart: "budget",
    models.ModelPart: "Keys of a model",
    PricePart: "price",
    models.AgentPart: "Every agent",
    step_parts.CommandSettings: "Settings of commands",
    models.ModelAgent: "model",
    models.CommandAgent: "command",
    models.FunctionAgent: "function",
    models.LocalAgent: "local",
    models.SessionAgent: "session",
    models.ScriptedAgent: "scripted",
    models.PlanPart: "Keys of a plan",
    models.InputPart: "inputs.NAME",
    models.DefaultsPart: "defaults",
    step_parts.StepPart: "Every step",
    step_parts.WorkPart: "Steps that do work",
    step_parts.CallPart: "Steps that call an agent",
    step_parts.AgentStep: "agent:",
    step_parts.CommandStep: "command:",
    step_parts.ShellStep: "shell:",
    step_parts.FunctionStep: "call:",
    step_parts.ApproveStep: "approve:",
    step_parts.InputStep: "input:",
    step_parts.NestedStep: "run:",
    population_parts.PopulationStep: "population:",
    population_parts.PopulationPart: "Keys of population",
    population_parts.GroupPart: "Keys of a group",
    panel_parts.TeamStep: "Steps that a team does",
    panel_parts.ConsensusStep: "consensus:",
    panel_parts.ReviewStep: "review:",
    panel_parts.PanelStep: "panel:",
    team_parts.SeatPart: "A seat",
    team_parts.ConsensusPart: "Keys of consensus",
    team_parts.ReviewPart: "Keys of review",
    team_parts.ReviewOfPart: "Keys of a review that is a step",
    panel_parts.PanelPart: "Keys of panel",
    panel_parts.LearnedPart: "Keys of a learned limit",
    models.ToolUser: "Agents that call tools",
    tool_parts.ToolPart: "Every tool",
    tool_parts.CommandTool: "A command as a tool",
    tool_parts.FunctionTool: "A function as a tool",
    tool_parts.McpTool: "An MCP server's tool",
    mcp_parts.McpProgram: "A program",
    mcp_parts.McpAddress: "An address",
    tool_parts.CachePart: "cache",
    tool_parts.EmbedPart: "embed",
    step_parts.RetryPart: "retry",
    step_parts.RepeatPart: "repeat",
    step_parts.ApprovalPart: "Keys of an approval",
    SimulatePart: "Keys of simulate",
    ActorPart: "simulate.agents.NAME",
    LatencyPart: "Keys of a latency",
    PeoplePart: "simulate.people",
}

OUTPUT = """
## output

- `text`: a text, whatever it is.
- `json`: JSON, whatever it is.
- `lines`: a list of lines.
- Fields with types: `{title: str, tags: [str], size: int, note?: str}`; one with a `?` may be
  missing, and no other fields are allowed.
- A JSON Schema.

The types of fields are `str`, `text`, `int`, `float`, `number`, `bool`, `json`, a list of one of
them, fields again, or a JSON Schema.
Without `output` a command, a model and the local model give text, and a function gives what it
returns.
An output that does not fit is the fault `invalid_output`.

## arguments

Fields with types, `{pattern: str, path?: str}`, as for an [output](#output), or a JSON Schema of
an object.
One with a `?` may be left out, and so may one with a default, as
`{path: {type: string, default: .}}`; texts name only arguments that are there or have a default.

## policies

What an answer does to the others:

- `once`: nothing. Votes are asked once, when every first answer is in, failed or late.
- `rounds`: as `once`, but instead of voting an agent may revise its answer, `rounds` times at
  most; only those are asked again whose view is stale.
- `sequential`: one first answer after the other, each with those before it in view; then votes.
- `restart_all`: every agent that has answered votes anew, and every vote is void.
- `restart_unanswered`: those who have not answered begin anew; votes as in `restart_all`.
- `cancel`: as `restart_all`, and calls in flight are cut off.
- `inject`: agents go on, and get the new answer at a tool boundary or with their next turn.
- `batch`: as `restart_all`, but new answers are collected for a while first.

## Durations

A number of seconds, or a text like `500ms`, `90s`, `10m`, `1h30m`, `2d`.

## Rates

An amount in some time: `9/min`, `500/day`, `600/10s`, `32k/min`, `1.5M/day`.
An amount may have `k` or `M` behind it.
A period is `s`, `min`, `hour` or `day`, with or without a number before it, or `sec`, `second`,
`m`, `minute`, `h`, `d`.
Dollars are `1.00`, `"$1.00"`, or in some time, `0.50/day`.

## Names

Letters a–z, digits, `_` and `-`, first a letter, at most 100 in all.
`inputs`, `steps`, `item`, `index`, `round`, `previous`, `run`, and the words of
[expressions](expressions.md) are taken.

## Bounds

A file has at most {megabytes} MB; YAML's anchors, aliases and tags are not read.
A plan has at most {steps} steps, those of nested plans counted each time they are used.
Plans may be nested {depth} deep.
"""

"""What the keys of a file become, and what its reader must know of them besides."""

from __future__ import annotations

from pydantic import BaseModel

from hocket.agents.command import CommandOptions
from hocket.agents.function import FunctionOptions
from hocket.agents.local import LocalOptions
from hocket.agents.model import ModelOptions
from hocket.config import models
from hocket.config.limit_parts import BudgetPart, LimitPart
from hocket.core import specs

STRUCTS: dict[type[BaseModel], tuple[type, ...]] = {
    models.RetryPart: (specs.Retry,),
    models.RepeatPart: (specs.Repeat,),
    models.ModelPart: (ModelOptions,),
    LimitPart: (specs.LimitSpec,),
    models.ModelAgent: (ModelOptions, specs.AgentSpec),
    models.CommandAgent: (CommandOptions, specs.AgentSpec),
    models.FunctionAgent: (FunctionOptions, specs.AgentSpec),
    models.LocalAgent: (LocalOptions, specs.AgentSpec),
    models.ScriptedAgent: (specs.AgentSpec,),
    models.InputPart: (specs.InputSpec,),
    models.DefaultsPart: (specs.StepSpec,),
    models.AgentPart: (specs.AgentSpec,),
    models.CommandSettings: (CommandOptions,),
    models.StepPart: (specs.StepSpec,),
    models.WorkPart: (specs.StepSpec,),
    models.CallPart: (specs.StepSpec,),
    models.AgentStep: (specs.StepSpec,),
    models.CommandStep: (specs.StepSpec, CommandOptions, specs.AgentSpec),
    models.ShellStep: (specs.StepSpec, CommandOptions, specs.AgentSpec),
    models.FunctionStep: (specs.StepSpec, FunctionOptions, specs.AgentSpec),
    models.ApproveStep: (specs.StepSpec,),
    models.InputStep: (specs.StepSpec,),
    models.NestedStep: (specs.StepSpec,),
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
    "default true for commands, false for others.",
    "timeout": "The longest that one call, approval or input may take.",
    "within": "How long after the needs the wants are waited for. By default as long as it takes.",
    "quorum": "How many wants are enough to start. By default all.",
    "needs": "Steps that must have succeeded. Steps named in templates and expressions are added.",
    "each": "An expression that gives a list; the step is done for each item, in parallel.",
    "when": "An expression; if it is false the step is skipped.",
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
    "InputStep.input": "What is asked: a template.",
    "NestedStep.run": "A name under `plans`.",
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
    "cwd": "the file's folder",
    "required": "see text",
    "timeout": "1h; 1d for people",
    "PlanPart.timeout": "7d",
    "grace": "5s",
    "within": "–",
    "ApproveStep.retry": "–",
}

PARTS: tuple[tuple[str, str, tuple[type[BaseModel], ...]], ...] = (
    ("The file", "", (models.FilePart,)),
    (
        "A limit",
        "limits.NAME",
        (LimitPart, BudgetPart),
    ),
    ("A model", "models.NAME", (models.ModelPart, models.PricePart)),
    (
        "An agent",
        "agents.NAME",
        (
            models.AgentPart,
            models.CommandSettings,
            models.ModelAgent,
            models.CommandAgent,
            models.FunctionAgent,
            models.LocalAgent,
            models.ScriptedAgent,
        ),
    ),
    ("A plan", "plans.NAME", (models.PlanPart, models.InputPart, models.DefaultsPart)),
    (
        "A step",
        "plans.NAME.steps.NAME",
        (
            models.StepPart,
            models.WorkPart,
            models.CallPart,
            models.AgentStep,
            models.CommandStep,
            models.ShellStep,
            models.FunctionStep,
            models.ApproveStep,
            models.InputStep,
            models.NestedStep,
            models.RetryPart,
            models.RepeatPart,
        ),
    ),
)
BESIDES: dict[str, str] = {
    "A limit": ", or under a key `limits` of a model, an agent, a plan, or a step with an agent of "
    "its own",
}
"""Where else a part may stand."""
TITLES: dict[type[BaseModel], str] = {
    models.FilePart: "Keys",
    LimitPart: "Keys of a limit",
    BudgetPart: "budget",
    models.ModelPart: "Keys of a model",
    models.PricePart: "price",
    models.AgentPart: "Every agent",
    models.CommandSettings: "Settings of commands",
    models.ModelAgent: "model",
    models.CommandAgent: "command",
    models.FunctionAgent: "function",
    models.LocalAgent: "local",
    models.ScriptedAgent: "scripted",
    models.PlanPart: "Keys of a plan",
    models.InputPart: "inputs.NAME",
    models.DefaultsPart: "defaults",
    models.StepPart: "Every step",
    models.WorkPart: "Steps that do work",
    models.CallPart: "Steps that call an agent",
    models.AgentStep: "agent:",
    models.CommandStep: "command:",
    models.ShellStep: "shell:",
    models.FunctionStep: "call:",
    models.ApproveStep: "approve:",
    models.InputStep: "input:",
    models.NestedStep: "run:",
    models.RetryPart: "retry",
    models.RepeatPart: "repeat",
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

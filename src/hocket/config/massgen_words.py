"""What is known of MassGen's files: its backends, its limits, and what has no counterpart here.

The numbers and names are those of MassGen 0.1.97.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Api(NamedTuple):
    """How a backend of MassGen is reached.

    Fields:
        provider: Whose protocol it speaks.
        base_url: Its address, where that is not the provider's own.
        key_env: The variable that holds its key, where that is not the provider's usual one.
        needs_url: Whether a file has to state its address.
        suffix: What follows a stated address.
    """

    provider: str
    base_url: str | None = None
    key_env: str = ""
    needs_url: bool = False
    suffix: str = ""


APIS: Final[dict[str, Api]] = {
    "openai": Api("openai"),
    "claude": Api("anthropic"),
    "gemini": Api("google"),
    "grok": Api("openai", "https://api.x.ai/v1", "XAI_API_KEY"),
    "azure_openai": Api(
        "openai", None, "AZURE_OPENAI_API_KEY", needs_url=True, suffix="/openai/v1"
    ),
    "chatcompletion": Api("openai"),
    "lmstudio": Api("openai", "http://localhost:1234/v1"),
    "vllm": Api("openai", "http://localhost:8000/v1"),
    "sglang": Api("openai", "http://localhost:30000/v1"),
    "inference": Api("openai", needs_url=True),
    "zai": Api("openai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
    "cerebras": Api("openai", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "together": Api("openai", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "fireworks": Api("openai", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "groq": Api("openai", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "openrouter": Api("openai", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "moonshot": Api("openai", "https://api.moonshot.cn/v1", "MOONSHOT_API_KEY"),
    "nvidia_nim": Api("openai", "https://integrate.api.nvidia.com/v1", "NGC_API_KEY"),
    "nebius": Api("openai", "https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY"),
    "poe": Api("openai", None, "POE_API_KEY", needs_url=True),
    "qwen": Api("openai", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "QWEN_API_KEY"),
    "uitars": Api("openai", None, "UI_TARS_API_KEY", needs_url=True),
}
"""The backends that are models, by their type."""

AS_THEY_ARE: Final = {
    "cerebras.ai": "CEREBRAS_API_KEY",
    "together.xyz": "TOGETHER_API_KEY",
    "fireworks.ai": "FIREWORKS_API_KEY",
    "groq.com": "GROQ_API_KEY",
    "nebius.ai": "NEBIUS_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "z.ai": "ZAI_API_KEY",
    "moonshot": "MOONSHOT_API_KEY",
    "nvidia.com": "NGC_API_KEY",
    "dashscope": "QWEN_API_KEY",
    "api.x.ai": "XAI_API_KEY",
}
"""The variable of a key, by what stands in the address."""

LIMITS: Final = {
    "gemini-2.5-flash": (9, "240k", 245),
    "gemini-2.5-pro": (2, "120k", 48),
}
"""Requests and tokens of a minute, and requests of a day, that its ``--rate-limit`` keeps to."""
OTHER_LIMITS: Final = (7, "100k", 100)
"""Those of any other model of the same backend."""

_SESSION: Final = (
    "left out: it is a coding agent's program, which is no model; see how-to/use-commands"
)
NO_AGENT: Final = {
    "claude_code": _SESSION,
    "codex": _SESSION,
    "gemini_cli": _SESSION,
    "antigravity_cli": _SESSION,
    "copilot": _SESSION,
    "ag2": "left out: it is an agent of another framework",
}
"""Backends that are no models, and what is said of them."""

ANSWERS_AGAIN: Final = (
    "agents may answer again without bound there; here each answers once, and is asked for its "
    "vote once: policy: restart_all does as MassGen does, at its price"
)
PRESENTER: Final = "it counts for final: synthesize, and is one of the agents that were taken over"
NOTHING_LIKE_IT: Final = "there is nothing like it"
DROPPED: Final = "plans, memory, checklists and helpers of agents are not there"

_FILES: Final = "agents have no folder of their own: give them commands and functions as tools"
_MCP: Final = "tools of MCP servers are not there: give commands and functions as tools"
_OWN_TOOLS: Final = "write them as tools: {NAME: {function: module:function}}"
_COMMANDS: Final = "a model runs only commands that the file names under tools"
_PROVIDER: Final = "tools of the provider's own are not asked for"
_MEDIA: Final = "pictures, sound and films are not made"
_STRICT: Final = "how strictly agents judge is said in their system texts"
_UPDATES: Final = "policy says when agents hear of new answers"
_SHOWS: Final = "runs are shown in a way of its own: --plain, --quiet, --json"

_WHY: Final = (
    (("cwd", "context_paths", "snapshot", "agent_temporary", "upload_files", "permission"), _FILES),
    (("exclude_file_operation", "write_mode", "worktree", "drift"), _FILES),
    (("mcp", "direct_mcp", "exclude_tools", "allowed_tools", "enable_tool_search"), _MCP),
    (
        ("custom_tools", "auto_discover", "shared_tools", "exclude_custom", "enable_code_based"),
        _OWN_TOOLS,
    ),
    (("command_line", "enable_mcp_command"), _COMMANDS),
    (("enable_web_search", "enable_code", "enable_programmatic", "betas"), _PROVIDER),
    (("image", "audio", "video", "enable_image", "enable_audio", "enable_video"), _MEDIA),
    (("enable_multimodal", "multimodal", "enable_file"), _MEDIA),
    (("voting_", "answer_novelty", "checklist", "max_checklist", "gap_report"), _STRICT),
    (("max_midstream", "defer_peer", "allow_midstream"), _UPDATES),
    (("ui", "display"), _SHOWS),
    (("memory",), "agents keep no memory from one run to the next"),
    (("append_system", "system_prompt"), "put it into the agent's system text"),
    (("skip_voting", "skip_coordination"), "a consensus votes; for one answer use a plain step"),
)


def reason(key: str, otherwise: str = NOTHING_LIKE_IT) -> str:
    """Say why a key of a MassGen file has no counterpart, and what to do instead."""
    for beginnings, why in _WHY:
        if key.startswith(beginnings):
            return why
    return otherwise

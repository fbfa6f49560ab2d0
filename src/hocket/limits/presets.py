"""Limits that providers state for their tiers, to begin with.

They change without notice, and an account may have others: each names the page that states such
limits and the day they are of, and users override them or add their own.
A limit holds for each model, or each family of models, unless `about` says otherwise.
Days are windows of 24 hours here, which is never more than a provider's calendar day allows.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import DAY, MINUTE


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's limits for one of its tiers.

    Fields:
        limit: The limits.
        source: The page that states them, or the file that a user has stated them in.
        as_of: Of what day they are, as in ``2026-05-22``; "" for a user's own.
        about: What they hold for.
    """

    limit: LimitSpec
    source: str
    as_of: str = ""
    about: str = ""


_OPENAI: Final = "https://platform.openai.com/docs/models/gpt-5"
_ANTHROPIC: Final = "https://platform.claude.com/docs/en/api/rate-limits"
_GOOGLE: Final = "https://ai.google.dev/gemini-api/docs/rate-limits"
_GROQ: Final = "https://console.groq.com/docs/rate-limits"
_OPENROUTER: Final = "https://openrouter.ai/docs/api/reference/limits"


def _openai(requests: int, tokens: int) -> Preset:
    return Preset(
        limit=LimitSpec(requests=(Rate(requests, MINUTE),), tokens=(Rate(tokens, MINUTE),)),
        source=_OPENAI,
        as_of="2025-11-20",
        about="gpt-5; see platform.openai.com/settings/organization/limits",
    )


def _anthropic(requests: int, tokens_in: int, tokens_out: int) -> Preset:
    return Preset(
        limit=LimitSpec(
            requests=(Rate(requests, MINUTE),),
            tokens_in=(Rate(tokens_in, MINUTE),),
            tokens_out=(Rate(tokens_out, MINUTE),),
        ),
        source=_ANTHROPIC,
        as_of="2026-05-22",
        about="Sonnet 4.x and Opus 4.x, each family in all; the tiers have other names since, see "
        "platform.claude.com/settings/limits",
    )


def _google(model: str, requests: int, tokens_in: int, daily: int) -> Preset:
    return Preset(
        limit=LimitSpec(
            requests=(Rate(requests, MINUTE), Rate(daily, DAY)),
            tokens_in=(Rate(tokens_in, MINUTE),),
        ),
        source=_GOOGLE,
        as_of="2025-11-20",
        about=f"{model}; Google has lowered some since and shows them to each project alone, see "
        "aistudio.google.com/rate-limit",
    )


def _groq(about: str, daily: int, tokens: int, daily_tokens: int) -> Preset:
    return Preset(
        limit=LimitSpec(
            requests=(Rate(30, MINUTE), Rate(daily, DAY)),
            tokens=(Rate(tokens, MINUTE), Rate(daily_tokens, DAY)),
        ),
        source=_GROQ,
        as_of="2026-06-04",
        about=f"{about}; see console.groq.com/settings/limits",
    )


def _openrouter(about: str, daily: int) -> Preset:
    return Preset(
        limit=LimitSpec(requests=(Rate(20, MINUTE), Rate(daily, DAY))),
        source=_OPENROUTER,
        as_of="2026-10-17",
        about=f"all models whose names end in :free together, {about}",
    )


PRESETS: Final[dict[str, Preset]] = {
    "anthropic/tier-1": _anthropic(50, 30_000, 8_000),
    "anthropic/tier-2": _anthropic(1_000, 450_000, 90_000),
    "anthropic/tier-3": _anthropic(2_000, 800_000, 160_000),
    "anthropic/tier-4": _anthropic(4_000, 2_000_000, 400_000),
    "google/free/gemini-2.5-flash": _google("gemini-2.5-flash", 10, 250_000, 250),
    "google/free/gemini-2.5-flash-lite": _google("gemini-2.5-flash-lite", 15, 250_000, 1_000),
    "google/free/gemini-2.5-pro": _google("gemini-2.5-pro", 5, 250_000, 100),
    "google/tier-1/gemini-2.5-flash": _google("gemini-2.5-flash", 1_000, 1_000_000, 10_000),
    "groq/free": _groq("the least of those below", 1_000, 6_000, 100_000),
    "groq/free/gpt-oss-120b": _groq("openai/gpt-oss-120b", 1_000, 8_000, 200_000),
    "groq/free/gpt-oss-20b": _groq("openai/gpt-oss-20b", 1_000, 8_000, 200_000),
    "groq/free/llama-3.1-8b-instant": _groq("llama-3.1-8b-instant", 14_400, 6_000, 500_000),
    "groq/free/llama-3.3-70b-versatile": _groq("llama-3.3-70b-versatile", 1_000, 12_000, 100_000),
    "openai/tier-1": _openai(500, 500_000),
    "openai/tier-2": _openai(5_000, 1_000_000),
    "openai/tier-3": _openai(5_000, 2_000_000),
    "openai/tier-4": _openai(10_000, 4_000_000),
    "openai/tier-5": _openai(15_000, 40_000_000),
    "openrouter/free": _openrouter("before 10 credits were bought", 50),
    "openrouter/free-credits": _openrouter("once 10 credits were bought", 1_000),
}
"""Presets by ``provider/tier`` or ``provider/tier/model``."""

"""Fields of a chat request that some provider passes over or refuses, by its own documentation; a bit each.

A backend that would answer as if a field were not there is not asked. Only what is documented is listed: a provider
that is not here, or a field, is taken to heed it. Hints that change no answer (`prediction`, `service_tier`, `user`)
are nobody's business.
"""

from __future__ import annotations

from typing import Final

N: Final = 1  # more than one choice
SEED: Final = 2
TOOL_CHOICE: Final = 4  # other than `auto`, where tools are offered
LOGPROBS: Final = 8
LOGIT_BIAS: Final = 16
AUDIO: Final = 32  # `modalities` that ask for a spoken answer
PARALLEL_TOOL_CALLS: Final = 64  # false: at most one call
WEB_SEARCH: Final = 128

# The bits are recorded with each request: a number, once given, keeps its meaning.
NAMES: Final = {
    N: "n",
    SEED: "seed",
    TOOL_CHOICE: "tool_choice",
    LOGPROBS: "logprobs",
    LOGIT_BIAS: "logit_bias",
    AUDIO: "modalities",
    PARALLEL_TOOL_CALLS: "parallel_tool_calls",
    WEB_SEARCH: "web_search_options",
}

NOT_HEEDED: Final = {
    # docs.ollama.com/api/openai-compatibility, "Supported request fields" of chat completions: what is not ticked or
    # not listed. (`seed`, `logprobs` and `response_format` are.)
    "ollama": N | TOOL_CHOICE | LOGIT_BIAS | AUDIO | PARALLEL_TOOL_CALLS | WEB_SEARCH,
    # Its server refuses n > 1: "Only one completion choice is allowed" (tools/server, oaicompat_chat_params_parse).
    "llamacpp": N,
    # console.groq.com/docs/openai, "Currently Unsupported OpenAI Features": a 400 for each.
    "groq": N | LOGPROBS | LOGIT_BIAS,
    # docs.mistral.ai/api, ChatCompletionRequest: no such fields (its seed is `random_seed`), and others are a 422.
    "mistral": SEED | LOGPROBS | LOGIT_BIAS | AUDIO | WEB_SEARCH,
}


def names(bits: int) -> list[str]:
    return [name for bit, name in NAMES.items() if bits & bit]

"""The OpenAI chat wire, from our side: what we change in a request, and what we read of an answer. Pure.

Spoken by OpenAI, Mistral, Groq, Together, Fireworks, vLLM, Ollama and llama.cpp. The body goes up as its top-level
keys' raw bytes, so that fields which Tierwise doesn't know survive; the list of what may change is closed:
`model`, `stream_options.include_usage`, an injected output cap, `metadata.tierwise_*`, thinking switches.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from shared.money import NanoUsd, nano_usd

PATH: Final = b"/chat/completions"
BYTES_PER_TOKEN: Final = 4  # for answers that do not say what they used
MOST_TOKENS: Final = 2**31 - 1  # of a call; what is more is a provider's mistake
DEAREST_CALL_USD: Final = 10_000  # likewise
_OURS: Final = "tierwise_"
_TRUE: Final = Raw(b"true")

_fields = msgspec.json.Decoder(dict[str, Raw])
_encoder = msgspec.json.Encoder()


class Changes(msgspec.Struct, frozen=True):
    """What one backend needs changed. `model` is the backend's own name of it."""

    model: str
    ask_for_usage: bool = False
    output_cap: int = 0  # 0: none
    cap_field: str = "max_tokens"
    thinking: bool | None = None  # None: as the caller has it


def rewrite(body: bytes | bytearray, changes: Changes) -> bytes:
    """`body` with exactly `changes` made to it. Raises msgspec.DecodeError where it is no JSON object."""
    fields = _fields.decode(body)
    fields["model"] = Raw(_encoder.encode(changes.model))
    if changes.ask_for_usage:
        fields["stream_options"] = _with_usage(fields.get("stream_options"))
    if changes.output_cap:
        fields[changes.cap_field] = Raw(b"%d" % changes.output_cap)
    if changes.thinking is not None:
        fields["chat_template_kwargs"] = _with_thinking(fields.get("chat_template_kwargs"), thinking=changes.thinking)
    metadata = fields.get("metadata")
    if metadata is not None and b"tierwise" in bytes(metadata):
        kept = _without_ours(metadata)
        if kept is None:
            del fields["metadata"]
        else:
            fields["metadata"] = kept
    return _encoder.encode(fields)


def _with_usage(options: Raw | None) -> Raw:
    present = _object(options)
    present["include_usage"] = _TRUE
    return Raw(_encoder.encode(present))


def _with_thinking(arguments: Raw | None, *, thinking: bool) -> Raw:
    present = _object(arguments)
    present["enable_thinking"] = Raw(b"true" if thinking else b"false")
    return Raw(_encoder.encode(present))


def _without_ours(metadata: Raw) -> Raw | None:
    """The caller's metadata without the keys that were meant for us; None where nothing else was there."""
    try:
        present = _fields.decode(metadata)
    except msgspec.DecodeError:  # not an object: nothing of ours in it
        return metadata
    kept = {key: value for key, value in present.items() if not key.startswith(_OURS)}
    if len(kept) == len(present):
        return metadata
    return Raw(_encoder.encode(kept)) if kept else None


def _object(raw: Raw | None) -> dict[str, Raw]:
    if raw is None or bytes(raw) == b"null":
        return {}
    return _fields.decode(raw)


# Answers ----------------------------------------------------------------------------------------------------


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens as the provider bills them. `input` includes the cached ones."""

    input: int
    cached_input: int
    output: int
    cost_nano_usd: int = -1  # of the call, where the provider says what it bills; -1: it does not


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class UsageFields(msgspec.Struct, gc=False):
    """`usage` of an answer or of a stream's last chunk."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    cost: Any = None  # OpenRouter's: US dollars. Others may mean anything by it: it must not spoil the rest

    def usage(self) -> Usage | None:
        """None where the provider sent numbers that cannot be: they must not become money."""
        sent, details = self.prompt_tokens, self.prompt_tokens_details
        if sent is None:
            return None
        cached = (details.cached_tokens or 0) if details is not None else 0
        output = self.completion_tokens or 0
        if not 0 <= cached <= sent <= MOST_TOKENS or not 0 <= output <= MOST_TOKENS:
            return None
        return Usage(sent, cached, output, -1 if self.cost is None else _billed(self.cost))


def _billed(cost: Any) -> NanoUsd:
    """-1 for what is no amount, and for nothing: who bills through somebody else, or not at all, says 0 too."""
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 < cost <= DEAREST_CALL_USD:
        return -1
    return nano_usd(cost)


class _Answer(msgspec.Struct, gc=False):
    usage: UsageFields | None = None


class _ErrorBody(msgspec.Struct, gc=False):
    error: Any = None
    message: Any = None
    detail: Any = None


_answer = msgspec.json.Decoder(_Answer)
_error = msgspec.json.Decoder(_ErrorBody)


class MalformedAnswer(Exception):
    """A 200 whose body is no JSON object: as bad as no answer."""


def read_usage(body: bytes) -> Usage | None:
    """What a whole answer cost; None where it does not say. Raises MalformedAnswer."""
    try:
        answer = _answer.decode(body)
    except msgspec.ValidationError:
        try:
            _fields.decode(body)  # JSON with a `usage` that is none
        except (msgspec.DecodeError, RecursionError) as error:
            raise MalformedAnswer from error
        return None
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedAnswer from error
    return answer.usage.usage() if answer.usage is not None else None


class UpstreamError(msgspec.Struct, frozen=True):
    """A provider's error in the words that may be shown to the caller."""

    message: str
    type: str = ""
    code: str = ""
    param: str = ""


MAX_MESSAGE: Final = 2000


def read_error(body: bytes) -> UpstreamError:
    """OpenAI's shape, or what is close to it (`message`, `detail`), or the text itself. Never raises."""
    try:
        found = _error.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return UpstreamError(body[:MAX_MESSAGE].decode("utf-8", "replace").strip())
    error = found.error if found.error is not None else (found.message or found.detail)
    if isinstance(error, dict):
        return UpstreamError(
            str(error.get("message") or "")[:MAX_MESSAGE],
            _text(error.get("type")),
            _text(error.get("code")),
            _text(error.get("param")),
        )
    return UpstreamError(_text(error)[:MAX_MESSAGE])


def _text(value: Any) -> str:
    return "" if value is None else str(value)

"""What is asked? A chat body, checked as a whole and read down to what a decision needs; not the decision.

The body itself goes on unread and unchanged: nothing here re-encodes it.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final, TypeAlias
from zlib import crc32

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from services.classifier import fields
from shared.contracts import LONGEST_SAID_NAME, Refusal
from shared.money import nano_usd

# Of the task we read its ends: instructions stand before or after a pasted document, seldom inside it.
SYSTEM_HEAD: Final = 600
SYSTEM_TAIL: Final = 300
USER_HEAD: Final = 400
USER_TAIL: Final = 300
FORM_BYTES: Final = 800  # of a schema: the names of its fields stand first

BYTES_PER_TOKEN: Final = 4  # English prose and code come to 3.5 to 4.5 with every common tokenizer
TOKENS_PER_MESSAGE: Final = 4  # the chat template's marks around a message
TOKENS_PER_IMAGE: Final = 1_100  # a picture of 1024 x 1024 at OpenAI's and Qwen-VL's rates

_LONGEST_WORD: Final = 30  # characters; there are scripts without spaces
_DEAREST_USD: Final = 1_000_000_000
_LONGEST_DEADLINE_DIGITS: Final = 12  # as in the header; the server's own limit is far shorter
_REQUIRED: Final = frozenset({"required", "any"})
_CACHE_WORDS: Final = frozenset({"bypass", "no-store"})
_OFF: Final = frozenset({b"null", b"false"})
_EMPTY: Final = frozenset({b"null", b"{}"})
SESSION_CHARS: Final = 4096  # of either text that tells conversations apart; of a large one head.py keeps more


class BadRequest(Exception):
    """The body is no chat request; `refusal` says so to its sender."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Wishes(msgspec.Struct, frozen=True, gc=False):
    """What the body's metadata asks for; a header is stronger, of deadlines the shorter. Empty, or -1: nothing."""

    service: str = ""
    priority: str = ""
    category: str = ""
    tier: str = ""
    max_cost_nano_usd: int = -1
    deadline_ms: int = 0  # 0: the header's or the server's
    cache: str = ""


NO_WISHES: Final = Wishes()


class ChatRequest(msgspec.Struct, frozen=True, gc=False):
    """A chat request as the decision sees it."""

    model: str  # as sent; empty: left out
    wishes: Wishes
    system: str  # the ends of the system prompt, some SYSTEM_HEAD + SYSTEM_TAIL characters, whole words
    user: str  # the ends of the last user turn, likewise
    user_chars: int  # how long that turn was before it was cut
    input_tokens: int  # estimated: bytes of all texts, tools and schemas by script, and a rate an image
    output_cap: int  # 0: none. The larger of max_tokens and max_completion_tokens: a backend may heed either
    choices: int
    messages: int  # up to the last user turn
    needs: tuple[str, ...]  # of json_schema, tools, vision
    offers_tools: bool
    forces_tool: bool  # tool_choice names one function: the usual way to ask for a filled-in form
    streamed: bool
    usage_wanted: bool
    temperature_zero: bool
    task_tokens: int = 0  # of input_tokens, those up to the last user turn: a tool's result does not change them
    fields: int = 0  # those that some providers ignore, by fields.py
    session: int = 0  # a hash of the system prompt and the first user turn; 0: a request of its own
    tool_turn: bool = False  # its last message is not the user's
    form: str = ""  # what is to be filled in: the beginning of a schema, or of the one function that is forced


def read(payload: bytes, body_bytes: int) -> ChatRequest:
    """Reads a chat body, or the head of a large one: `body_bytes` is the size of the whole.

    All of `payload` is checked as JSON and UTF-8, also what no decision needs. Raises BadRequest, and nothing
    else, for any bytes at all.
    """
    try:
        # msgspec lets invalid UTF-8 pass in strings and keys that it skips; a backend would choke on them.
        if not payload.isascii():
            payload.decode()
        body = _decode(payload)
    except msgspec.ValidationError as error:
        raise _mistyped(str(error)) from None
    except msgspec.DecodeError as error:
        raise _malformed(payload, str(error)) from None
    except UnicodeDecodeError as error:
        raise _refuse(
            "", f"The body is not valid UTF-8 (byte {error.start}). Encode it as UTF-8.", "invalid_json"
        ) from None
    except RecursionError:
        raise _refuse("", "The body is nested too deeply. Send flatter JSON.", "invalid_json") from None
    return _digest(body, max(0, body_bytes - len(payload)))


# The wire ---------------------------------------------------------------------------------------------------


class _Part(msgspec.Struct, gc=False):
    type: str
    text: str | UnsetType = UNSET
    image_url: Raw | UnsetType = UNSET


class _Message(msgspec.Struct, gc=False):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[Raw] | None = None


class _Named(msgspec.Struct, gc=False):
    name: str


class _ToolChoice(msgspec.Struct, gc=False):
    type: str = "function"
    function: _Named | None = None


class _Tool(msgspec.Struct, gc=False):
    type: str
    function: Raw | UnsetType = UNSET


class _ResponseFormat(msgspec.Struct, gc=False):
    type: str
    json_schema: Raw | UnsetType = UNSET


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


class _Metadata(msgspec.Struct, gc=False):
    """OpenAI's metadata; keys that are not ours pass unread."""

    tierwise_service: str | None = None
    tierwise_priority: str | None = None
    tierwise_category: str | None = None
    tierwise_tier: str | None = None
    tierwise_max_cost_usd: str | float | None = None
    tierwise_deadline_ms: str | int | None = None
    tierwise_cache: str | None = None


_Tokens: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1)] | None


class _Body(msgspec.Struct, gc=False):
    messages: Annotated[list[_Message], Meta(min_length=1)]
    model: str | None = None
    tools: list[_Tool] | None = None
    functions: list[Raw] | None = None  # what tools were called before they were tools
    tool_choice: str | _ToolChoice | None = None
    function_call: Raw | UnsetType = UNSET
    response_format: _ResponseFormat | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Tokens = None
    max_completion_tokens: _Tokens = None
    temperature: float | None = None
    seed: int | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    metadata: _Metadata | None = None
    logprobs: Raw | UnsetType = UNSET
    logit_bias: Raw | UnsetType = UNSET
    modalities: Raw | UnsetType = UNSET
    parallel_tool_calls: Raw | UnsetType = UNSET
    web_search_options: Raw | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Body).decode


def _digest(body: _Body, cut_bytes: int) -> ChatRequest:
    messages = body.messages
    text_bytes = cut_bytes
    images = 0
    uses_tools = False
    system: list[str] = []
    user: str | list[_Part] | None = ""
    first_user: str | list[_Part] | None = None
    leading = 0  # system messages before it
    task_messages = task_bytes = task_images = 0  # up to the last user turn
    for place, message in enumerate(messages):
        content = message.content
        role = message.role
        if isinstance(content, str):
            text_bytes += len(content) if content.isascii() else _weight(content)
        elif content is None:
            if role != "assistant":
                raise _refuse(
                    f"messages[{place}].content",
                    "is missing: only an assistant's message may go without. Send a text or a list of parts",
                )
        else:
            for number, part in enumerate(content):
                if part.type == "text":
                    if part.text is UNSET:
                        raise _refuse(
                            f"messages[{place}].content[{number}].text", "is missing. Give the part a `text`"
                        )
                    text_bytes += len(part.text) if part.text.isascii() else _weight(part.text)
                elif part.image_url is not UNSET:
                    images += 1
        if role == "user":
            user = content
            if first_user is None:
                first_user, leading = content, len(system)
            task_messages, task_bytes, task_images = place + 1, text_bytes, images
        elif role in {"system", "developer"}:
            system.append(_text(content))
        if message.tool_calls:
            uses_tools = True
            text_bytes += _size(message.tool_calls)
        elif role == "tool":
            uses_tools = True

    turn_bytes = text_bytes  # of the messages; what is beside them belongs to the task
    needs: tuple[str, ...] = ()
    form = b""
    response_format = body.response_format
    # `json_object` is no json_schema: backends without grammars have it too, and the prompt must say JSON anyway.
    if response_format is not None and response_format.type == "json_schema":
        needs = ("json_schema",)
        if response_format.json_schema is not UNSET:
            schema = memoryview(response_format.json_schema)
            text_bytes += schema.nbytes
            form = bytes(schema[:FORM_BYTES])
    if body.tools:
        text_bytes += _size([tool.function for tool in body.tools if tool.function is not UNSET])
    if body.functions:
        text_bytes += _size(body.functions)
    offers_tools = bool(body.tools or body.functions)
    forces_tool = offers_tools and _forces(body)
    if forces_tool:
        function = body.tools[0].function if body.tools else body.functions[0] if body.functions else UNSET
        if function is not UNSET:
            form = bytes(memoryview(function)[:FORM_BYTES])
    if offers_tools or uses_tools:
        needs = (*needs, "tools")
    if images:
        needs = (*needs, "vision")

    last = user if isinstance(user, str) else _text(user)
    is_tool_turn = 0 < task_messages < len(messages)
    session = 0
    if offers_tools or len(system) + 1 < len(messages):
        session = _session(system[:leading], first_user)
    input_tokens = _tokens(text_bytes, len(messages), images)
    return ChatRequest(
        body.model or "",
        NO_WISHES if body.metadata is None else _wishes(body.metadata),
        _ends("\n".join(system), SYSTEM_HEAD, SYSTEM_TAIL) if system else "",
        _ends(last, USER_HEAD, USER_TAIL),
        len(last),
        input_tokens,
        max(body.max_tokens or 0, body.max_completion_tokens or 0),
        body.n or 1,
        task_messages or len(messages),
        needs,
        offers_tools,
        forces_tool,
        bool(body.stream),
        bool(body.stream and body.stream_options and body.stream_options.include_usage),
        body.temperature == 0,
        _tokens(task_bytes + text_bytes - turn_bytes, task_messages, task_images) if is_tool_turn else input_tokens,
        _fields(body, offers_tools=offers_tools),
        session,
        is_tool_turn,
        form.decode(errors="ignore") if form else "",
    )


def _tokens(text_bytes: int, messages: int, images: int) -> int:
    return -(-text_bytes // BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * messages + TOKENS_PER_IMAGE * images


def _session(system: list[str], first_user: str | list[_Part] | None) -> int:
    """What every turn of a conversation begins with, tool turns included: so its model's cache stays warm."""
    beginning = "\n".join(system)[:SESSION_CHARS] + "\n" + _text(first_user)[:SESSION_CHARS]
    return crc32(beginning.encode()) or 1


def _fields(body: _Body, *, offers_tools: bool) -> int:
    found = 0
    if body.n is not None and body.n > 1:
        found |= fields.N
    if body.seed is not None:
        found |= fields.SEED
    if offers_tools and body.tool_choice is not None and body.tool_choice != "auto":
        found |= fields.TOOL_CHOICE
    if body.logprobs is not UNSET and bytes(body.logprobs) not in _OFF:
        found |= fields.LOGPROBS
    if body.logit_bias is not UNSET and bytes(body.logit_bias) not in _EMPTY:
        found |= fields.LOGIT_BIAS
    if body.modalities is not UNSET and b'"audio"' in bytes(body.modalities):
        found |= fields.AUDIO
    if body.parallel_tool_calls is not UNSET and bytes(body.parallel_tool_calls) == b"false":
        found |= fields.PARALLEL_TOOL_CALLS
    if body.web_search_options is not UNSET and bytes(body.web_search_options) != b"null":
        found |= fields.WEB_SEARCH
    return found


def _forces(body: _Body) -> bool:
    """Must one function be called, and is it known which?"""
    choice = body.tool_choice
    if isinstance(choice, _ToolChoice):
        return choice.function is not None
    if choice is None:  # what it was called before tools were tools: an object names a function
        return body.function_call is not UNSET and bytes(memoryview(body.function_call)[:1]) == b"{"
    return choice in _REQUIRED and body.tools is not None and len(body.tools) == 1


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, str):
        return content
    if not content:
        return ""
    return "\n".join([part.text for part in content if part.type == "text" and part.text is not UNSET])


def _ends(text: str, head: int, tail: int) -> str:
    if len(text) <= head + tail:
        return text
    return f"{text[: between_words(text, head)]}\n{text[between_words(text, len(text) - tail) :]}"


def between_words(text: str, place: int) -> int:
    """The end of the word that stands at `place`, if it is near: half of `proven` would be read as `prove`."""
    space = text.find(" ", place, place + _LONGEST_WORD)
    return space if space >= 0 else place


def _weight(text: str) -> int:
    """Its bytes, as tokens come of them: a token of other scripts than ASCII is three bytes or so, and not four."""
    size = len(text.encode())
    return size + (size - len(text)) // 2


def _size(raws: list[Raw]) -> int:
    return sum([memoryview(raw).nbytes for raw in raws])


def _wishes(metadata: _Metadata) -> Wishes:
    return Wishes(
        _name(metadata.tierwise_service, "service"),
        _name(metadata.tierwise_priority, "priority"),
        _name(metadata.tierwise_category, "category"),
        _name(metadata.tierwise_tier, "tier"),
        _max_cost(metadata.tierwise_max_cost_usd),
        _deadline(metadata.tierwise_deadline_ms),
        _cache(metadata.tierwise_cache),
    )


def _name(value: str | None, key: str) -> str:
    """A name from the metadata. It becomes a key of tables and of metrics, hence no line breaks and no novels."""
    if not value:
        return ""
    if len(value) > LONGEST_SAID_NAME or not value.isprintable():
        raise _refuse(
            f"metadata.tierwise_{key}", f"must be at most {LONGEST_SAID_NAME} printable characters. Send a name"
        )
    return value


def _max_cost(value: str | float | None) -> int:
    if value is None or value == "":
        return -1
    usd, said = Decimal(-1), str(value)
    if len(said) <= LONGEST_SAID_NAME and said.isascii() and "_" not in said:  # Python reads 1_0 as ten
        with suppress(InvalidOperation):
            usd = Decimal(said)
    if not (usd.is_finite() and 0 <= usd <= _DEAREST_USD):
        raise _refuse("metadata.tierwise_max_cost_usd", "must be an amount of US dollars. Send for example '0.01'")
    return nano_usd(usd)


def _deadline(value: str | int | None) -> int:
    if value is None or value == "":
        return 0
    digits = str(value)
    if len(digits) > _LONGEST_DEADLINE_DIGITS or not (digits.isascii() and digits.isdigit()) or int(digits) < 1:
        raise _refuse(
            "metadata.tierwise_deadline_ms",
            "must be a whole number of milliseconds, at least 1. Send for example 30000",
        )
    return int(digits)


def _cache(value: str | None) -> str:
    if not value:
        return ""
    words = [word.strip() for word in value.split(",")]
    if not _CACHE_WORDS.issuperset(words):
        raise _refuse("metadata.tierwise_cache", "must be `bypass`, `no-store` or both with a comma. Correct it")
    return ",".join(dict.fromkeys(words))


# Refusals ---------------------------------------------------------------------------------------------------

_ADVICE: Final = {
    "messages": 'Send a list of at least one message like {"role": "user", "content": "…"}',
    "model": "Send a model's name, or `auto`",
    "tools": 'Send a list of tools like {"type": "function", "function": {…}}',
    "tool_choice": 'Send `auto`, `none`, `required` or {"type": "function", "function": {"name": "…"}}',
    "response_format": 'Send {"type": "json_schema", "json_schema": {…}}, {"type": "json_object"} or leave it out',
    "stream": "Send true or false",
    "stream_options": 'Send {"include_usage": true} or leave it out',
    "max_tokens": "Send a whole number of at least 1, or leave it out",
    "max_completion_tokens": "Send a whole number of at least 1, or leave it out",
    "n": "Send a whole number from 1 to 128, or leave it out",
    "metadata": "Send an object whose tierwise_ values are strings",
}


def _refuse(param: str, what: str, code: str = "invalid_request") -> BadRequest:
    message = f"`{param}` {what}." if param else what
    return BadRequest(Refusal(status=400, code=code, message=message, param=param))


def _malformed(payload: bytes, what: str) -> BadRequest:
    if not payload.strip():
        return _refuse("", 'The body is empty. Send a JSON object with "model" and "messages".', "invalid_json")
    where = what.removeprefix("JSON is malformed: ")
    return _refuse("", f"The body is not valid JSON: {where}. Send one complete JSON object.", "invalid_json")


def _mistyped(what: str) -> BadRequest:
    """Msgspec's sentence (`Expected `int | null`, got `str` - at `$.max_tokens``) as ours, with its `param`."""
    what, _, path = what.partition(" - at `")
    param = path.rstrip("`").removeprefix("$").removeprefix(".")
    if what.startswith("Object missing required field `"):
        field = what.rpartition("field `")[2].rstrip("`")
        param = f"{param}.{field}" if param else field
        what = "is missing"
    elif not param:
        return _refuse("", 'The body must be a JSON object with "model" and "messages".')
    else:
        what = f"is wrong: {what[:1].lower()}{what[1:]}".replace("`", "")
    advice = _ADVICE.get(param.partition(".")[0].partition("[")[0], "Correct it, or leave it out")
    return _refuse(param, f"{what}. {advice}")

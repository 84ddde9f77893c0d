"""The system's vocabulary: every event that crosses a process, in the order in which a request meets them.

Hot events are MessagePack arrays: small, and grown by adding fields with defaults at the end. An event that
travels with a body is packed in front of it (`pack`, `unpack`), so that nobody parses or copies the body to
read the event. What may change, and how, is told in docs/decisions/0001-the-hot-bus.md.
"""

from __future__ import annotations

from datetime import date
from struct import Struct as Layout
from typing import ClassVar, Final, TypeAlias

import msgspec
from msgspec import Raw

MAX_INLINE_BYTES: Final = 256 * 1024  # a larger body or answer travels in frames of at most this size
BODY_WINDOW_BYTES: Final = 1024 * 1024  # what a dispatcher asks for at a time
STREAM_CREDIT: Final = 64  # chunks that may be under way to a caller before it has taken any

LONGEST_SAID_NAME: Final = (
    128  # characters of a service's, a category's or a tier's name in a request, each printable
)
PRIORITIES: Final = ("interactive", "normal", "background", "bulk")
CATEGORIES: Final = ("extraction", "summarisation", "classification", "reasoning", "code", "general")
MOST_RULED_HEADERS: Final = 8  # that rules may look at: each is nine bytes of a record's features
# Headers that no rule may name: they hold keys, which are to stay where they came in.
CREDENTIAL_HEADERS: Final = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key", "x-auth-token"}
)


class Hot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event of the hot path. `subject` is where it is published; inboxes are built by `inbox`."""

    subject: ClassVar[str] = ""


# 1. ingress → classifier ------------------------------------------------------------------------------------


class RequestReceived(Hot, frozen=True, array_like=True, gc=False):
    """A caller's request, published on `route.<priority>` with its body behind it.

    Where `framed` is set, the body was too large for one message: what follows is its head (texts cut, data
    replaced by its size), and the dispatcher asks the ingress for the whole.
    """

    subject: ClassVar[str] = "route"

    request_id: str
    received_at_us: int  # wall clock, microseconds since the epoch
    door: str
    service: str  # by the header; empty: the body's metadata may say
    priority: str  # likewise
    deadline_ms: int  # what is left of the caller's time
    body_bytes: int
    framed: bool = False
    send: int = 0  # 1: sent again after the first holder died
    category: str = ""  # the caller's own word, or nothing
    tier: str = ""
    max_cost_nano_usd: int = -1
    cache: str = ""
    waited_ms: int = 0  # before it was sent again: so much less is left of a deadline that the body names
    headers: tuple[tuple[str, str], ...] = ()  # of its HTTP headers those that rules name, names in lower case


class Refusal(Hot, frozen=True, array_like=True, gc=False):
    """Why a request is not answered, in words for the caller. It becomes the error body of the door."""

    status: int
    code: str
    message: str
    type: str = "invalid_request_error"
    param: str = ""
    retry_after_s: int = 0  # 0: no such header
    may_retry: bool = True  # False: `x-should-retry: false`, an SDK that tries again would pay twice


class PlanRefused(Hot, frozen=True, array_like=True, gc=False):
    """The classifier's no, sent to the caller's inbox."""

    refusal: Refusal
    send: int = 0
    category: str = ""
    tier: str = ""
    reasons: tuple[str, ...] = ()
    policy_version: int = 0


# 2. classifier → dispatcher ---------------------------------------------------------------------------------


class Features(Hot, frozen=True, array_like=True, gc=False):
    """What the classifier measured and decided by: no text of the caller's, at most 300 bytes packed.

    Recorded with the request, so that `replay` can decide again under another policy: together with the row's
    request_id, service, priority and category it is all that a decision depends on (classifier/measured.py).
    """

    evidence: tuple[str, ...] = ()  # names of the rules that found something
    scores: tuple[int, ...] = ()  # by category, in the order of CATEGORIES, in hundredths
    model: str = ""
    input_tokens: int = 0  # an estimate
    max_tokens: int = 0  # the caller's cap; 0: none
    needs: tuple[str, ...] = ()  # capabilities without which a backend cannot serve
    messages: int = 0  # up to the last user turn
    streamed: bool = False
    temperature_zero: bool = False
    category_said: bool = False  # the row's category is the caller's word, not the evidence's
    tier: str = ""  # that the caller asked for at least
    max_cost_nano_usd: int = -1
    choices: int = 1
    task_tokens: int = 0  # of input_tokens, up to the last user turn
    fields: int = 0  # that some providers ignore: a bit each, by classifier/fields.py
    session: int = 0  # which conversation; 0: a request of its own
    tool_turn: bool = False  # it brings a tool's result
    headers: tuple[int, ...] = ()  # 64 bits of a hash of each that rules named: classifier/rules.py
    observed: tuple[str, ...] = ()  # of `routing.mode: observe`: the tier and the backend that would have served


NO_FEATURES: Final = Raw(msgspec.msgpack.encode(Features()))


class RequestPlanned(Hot, frozen=True, array_like=True, gc=False):
    """Which backends may answer, in order, and why; carried out by one dispatcher. The body follows it."""

    subject: ClassVar[str] = "dispatch"

    request_id: str
    received_at_us: int
    door: str
    service: str
    priority: str
    deadline_ms: int
    body_bytes: int
    framed: bool
    send: int
    policy_version: int
    category: str
    tier: str
    reasons: tuple[str, ...]  # the deciding one first
    candidates: tuple[str, ...]  # names of backends, first choice first
    baseline: str  # the backend that savings are counted against
    streamed: bool
    usage_wanted: bool  # the caller asked for `stream_options.include_usage`
    input_tokens: int  # estimated, for what a provider does not report
    reserved_nano_usd: int  # the worst case of the first candidate's tier
    lease_id: str = ""
    output_cap: int = 0  # injected; 0: none
    cache: str = ""
    features: Raw = NO_FEATURES  # Features, packed: who carries them need not read them
    model: str = ""  # sent in place of the backend's own name: a LoRA adapter's
    dearest_nano_usd: int = 0  # the worst case of all candidates, where the service has a budget
    hand_on: int = 0  # of the candidates, so many of the first may be called as those before them are full. 0: all


# 3. dispatcher → ingress: the answer ------------------------------------------------------------------------


class AnswerHead(Hot, frozen=True, array_like=True, gc=False):
    """What a caller learns about an answer besides its body: status and headers."""

    status: int
    content_type: str
    body_bytes: int  # -1: a stream, its end is a frame
    category: str
    tier: str
    backend: str
    model: str
    reasons: tuple[str, ...]
    attempts: int
    policy_version: int
    cost_nano_usd: int = -1  # -1: not known yet (a stream says it in its last comment line)
    saved_nano_usd: int = 0
    output_cap: int = 0  # injected; 0: none


class Frame:
    """Kinds of frames in an inbox.

    To the caller's inbox (the ingress), behind a `mark`:
      REFUSED      PlanRefused; nothing else follows
      ANSWER       AnswerHead with the whole body behind it; nothing else follows
      HEAD         AnswerHead; CHUNKs and an END follow, as credit allows. Credit goes to the reply subject
      CHUNK, END   a part of the body (at most MAX_INLINE_BYTES); its end
      BODY_WANTED  BodyWanted: send that part of the request's body to the message's reply subject
    To the flight's inbox (the dispatcher), one byte of kind and one of `send`, then:
      BODY         a part of the request's body, in order
      CREDIT       CreditGranted
    """

    REFUSED: Final = 82  # R
    ANSWER: Final = 65  # A
    HEAD: Final = 72  # H
    CHUNK: Final = 67  # C
    END: Final = 69  # E
    BODY_WANTED: Final = 87  # W
    BODY: Final = 66  # B
    CREDIT: Final = 71  # G


class BodyWanted(Hot, frozen=True, array_like=True, gc=False):
    offset: int
    length: int


class CreditGranted(Hot, frozen=True, array_like=True, gc=False):
    chunks: int


# 4. leaving, living, dying ----------------------------------------------------------------------------------


class CallerLeft(Hot, frozen=True, array_like=True, gc=False):
    """Nobody waits for this answer any more. Published on `cancel.<request_id>`."""

    subject: ClassVar[str] = "cancel"

    because: str  # hung_up, deadline, given_up (its holder is taken for dead), stopping (the ingress)
    send: int = -1  # only what was sent under this number is off: it is sent again under the next one. -1: all


class Beat(Hot, frozen=True, array_like=True, gc=False):
    """I live. Published on `beat.<service>` every BEAT_EVERY_S."""

    subject: ClassVar[str] = "beat"

    service: str
    instance: str
    in_flight: int
    leaving: bool = False  # the last one of a clean stop: nothing is held any more


class ClaimAsked(Hot, frozen=True, array_like=True, gc=False):
    """A service died: which of this ingress' requests do you hold? Answered by `Claimed` to the reply subject."""

    subject: ClassVar[str] = "claim"

    ingress: str


class Claimed(Hot, frozen=True, array_like=True, gc=False):
    instance: str
    request_ids: tuple[str, ...]


class TokensCounted(Hot, frozen=True, array_like=True, gc=False):
    """One call's input, in tokens: as the classifier estimated it, and as the provider reported it."""

    backend: str
    estimated: int
    reported: int


class TokensTold(Hot, frozen=True, array_like=True, gc=False):
    """Some calls of late. From each dispatcher to every classifier, which reserves by it; whoever misses it loses
    nothing but some precision.
    """

    subject: ClassVar[str] = "tokens"

    counts: tuple[TokensCounted, ...]


# 5. what outlives the call ----------------------------------------------------------------------------------


class AttemptUsage(Hot, frozen=True, array_like=True, gc=False):
    """One call of a backend. Its key is (`request_id`, `send`, `attempt`): each is paid, so each is a row."""

    attempt: int  # 1, 2, …
    backend: str
    started_at_us: int
    outcome: str  # answered, refused, failed, timeout, cancelled
    status: int  # HTTP; 0: there was none
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    usage_source: str  # reported, counted, unknown, none
    cost_nano_usd: int
    latency_ms: float
    tier: str = ""  # the backend's; empty: the request's
    is_batch: bool = False  # a line of a provider's batch job, at its batch price
    is_cost_reported: bool = False  # the provider said what it bills, and that is the cost; else tokens were priced


class RequestUsage(Hot, frozen=True, array_like=True, gc=False):
    """One request that was answered, with every call that was made for it.

    Priced by the dispatcher from the policy of the plan; the ledger stores it and never prices again.
    """

    request_id: str
    send: int
    received_at_us: int
    service: str
    priority: str
    category: str
    tier: str
    backend: str  # the one that answered; empty: none did
    model: str
    reason: str  # comma separated, the deciding one first
    cache: str  # hit, miss, shared, bypass
    status: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    usage_source: str
    latency_ms: float
    first_token_ms: float  # -1: not streamed
    cost_nano_usd: int  # of all attempts
    baseline_nano_usd: int
    policy_version: int
    lease_id: str
    reserved_nano_usd: int
    features: Raw  # Features, packed, as they came with the plan
    attempts: tuple[AttemptUsage, ...]
    cache_saved_nano_usd: int = 0  # what the cache's answer would have cost at the backend it came from
    batch_saved_nano_usd: int = 0  # the price in real time, less the batch price


class ValidationUsage(Hot, frozen=True, array_like=True, gc=False):
    """An answer compared with the reference model's: the calls that this took, and the pair that it gave.

    Its key is `request_id`, that of the request whose answer was compared: once each. Its calls are paid from the
    validation budget of the request's service.
    """

    request_id: str
    received_at_us: int  # the request's
    service: str
    category: str
    backend: str  # whose answer was compared
    policy_version: int
    probability: float  # with which this request was chosen: more than 0, at most 1
    baseline_nano_usd: int  # as the request's record has it: the answer's own tokens at the baseline's price
    paired_baseline_nano_usd: int  # the same with the output length of the reference; -1: not known
    agreement: float  # 0 to 1; -1: not scored
    calls: tuple[AttemptUsage, ...]


class UsageRecorded(Hot, frozen=True, array_like=True, gc=False):
    """The requests that one dispatcher finished together, within a packet or a turn of its loop. JetStream `USAGE`.

    The ingress sends what its cache answered, the batcher what a job answered, the validator what it compared.

    `batch_id` is also its `Nats-Msg-Id`; a message that is sent again keeps it.
    """

    subject: ClassVar[str] = "usage.recorded"

    batch_id: str
    records: tuple[RequestUsage, ...]
    validations: tuple[ValidationUsage, ...] = ()


# 6. questions, by request and reply -------------------------------------------------------------------------


class Answered(Hot, frozen=True, array_like=True, gc=False):
    """The reply to any of them: the answer is JSON, and packed behind this. Or why there is none."""

    refusal: Refusal | None = None


class ExplainRequested(Hot, frozen=True, array_like=True, gc=False):
    """How would this request be decided? The body, or the head of a large one, is packed behind it."""

    subject: ClassVar[str] = "explain"

    received: RequestReceived


class LedgerAsked(Hot, frozen=True, array_like=True, gc=False, tag_field="question"):
    """What the ledger can be asked, on one subject; each question is a subclass, known by its tag."""

    subject: ClassVar[str] = "ledger.query"


class RequestAsked(LedgerAsked, frozen=True, array_like=True, gc=False, tag="request"):
    """The row of one request that was served, what it was decided by, and its attempts."""

    request_id: str


class SpendAsked(LedgerAsked, frozen=True, array_like=True, gc=False, tag="spend"):
    """What was spent on the days from `first` to `last`: by service, tier and backend, and which account paid."""

    first: date
    last: date
    service: str = ""  # empty: all


class SavingsAsked(LedgerAsked, frozen=True, array_like=True, gc=False, tag="savings"):
    """What the same days' requests saved, by service and category, with its error and the quality that was kept."""

    first: date
    last: date
    service: str = ""


class BudgetsAsked(LedgerAsked, frozen=True, array_like=True, gc=False, tag="budgets"):
    """How every budget stands today."""


LedgerQuestion: TypeAlias = RequestAsked | SpendAsked | SavingsAsked | BudgetsAsked


# 7. budgets: classifier ↔ ledger ----------------------------------------------------------------------------


class GrantAsked(Hot, frozen=True, array_like=True, gc=False):
    """One service's wish for more of its day. Amounts are nano-dollars.

    The holder names the lease that it asks for, so that asking again after silence is the same wish. Without a name
    it wants no money, only to hear how the day stands.
    """

    service: str
    day: str  # YYYY-MM-DD, by the budget's time zone: the day on which its requests were received
    lease_id: str = ""
    need: int = 0  # the least that is of any use: what the plan at the head of the queue reserves
    waiting: int = 0  # what all plans in the queue reserve
    ahead: int = 0  # what the next seconds may take besides


class LeaseReported(Hot, frozen=True, array_like=True, gc=False):
    """What a holder says of one of its leases. `kept` only ever falls, so that any order of reports is a true one."""

    lease_id: str
    kept: int  # of what was granted, all that is reserved and all that may still be; the rest goes back
    ends_in_ms: int = -1  # -1: the lease is in use. Else nothing more is reserved, and no request lives longer


class GrantRequested(Hot, frozen=True, array_like=True, gc=False):
    """A classifier's wishes and reports, in one message. Answered by `Granted` to the reply subject."""

    subject: ClassVar[str] = "budget.grant"

    holder: str
    asked: tuple[GrantAsked, ...] = ()
    reported: tuple[LeaseReported, ...] = ()


class Grant(Hot, frozen=True, array_like=True, gc=False):
    """The answer to one `GrantAsked`, and how its day stands. Nano-dollars."""

    service: str
    day: str
    lease_id: str
    granted: int  # 0: not now
    limit: int
    spent: int
    held: int  # by all leases of the day: reserved, or not yet


class Granted(Hot, frozen=True, array_like=True, gc=False):
    """Everything that was reported is in the books. Where `away` is set nothing is: the ledger has no database."""

    grants: tuple[Grant, ...] = ()
    away: bool = False


class BudgetChangeRequested(Hot, frozen=True, array_like=True, gc=False):
    """An operator's word over the file. Replied to by `Answered`, once it is stored and holds."""

    subject: ClassVar[str] = "budget.change"

    service: str
    budget: str = ""  # as the file would have it, in JSON; empty: what the file says holds again


# Packing ----------------------------------------------------------------------------------------------------

_LENGTH = Layout(">I")
_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode


def pack(event: Hot, body: bytes | memoryview = b"", before: bytes = b"") -> bytes:
    """`event` and the body behind it: four bytes of length, the event, the body as it is. A mark may go before."""
    head = _encoder.encode(event)
    return b"".join((before, _LENGTH.pack(len(head)), head, body))


def unpack(payload: bytes, start: int = 0) -> tuple[bytes, bytes]:
    """The event's bytes, for its own decoder, and the body. ValueError where `payload` is cut short."""
    if len(payload) < start + 4:
        raise ValueError("a packed event needs at least four bytes")
    (length,) = _LENGTH.unpack_from(payload, start)
    end = start + 4 + length
    if len(payload) < end:
        raise ValueError(f"a packed event of {length} bytes is cut short")
    return payload[start + 4 : end], payload[end:]


# Request ids, inboxes, marks --------------------------------------------------------------------------------

INGRESS_ID_LENGTH: Final = 16  # "req_" and twelve characters that name the ingress process


def inbox(owner: str, request_id: str) -> str:
    """Where `owner` (a process' inbox prefix) hears about one request."""
    return f"_INBOX.{owner}.{request_id}"


def caller_inbox(request_id: bytes) -> bytes:
    """Where the ingress that minted `request_id` takes all its frames: the id itself says which one.

    One subject for all requests, because NATS looks a subject up that it has just seen in half the time.
    """
    return b"_INBOX." + request_id[:INGRESS_ID_LENGTH]


def mark(kind: int, send: int, request_id: bytes) -> bytes:
    """What a frame to a caller begins with: kind, `send`, and which of the ingress' requests it is for."""
    number = request_id[INGRESS_ID_LENGTH:]
    return b"%c%c%c%b" % (kind, send, len(number), number)

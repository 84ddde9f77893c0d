"""Any JSON body reaches the backend semantically unchanged, but for a closed list of changes; through the real thing.

What `tests/unit/dispatcher/test_openai.py` shows of one function, shown here of HTTP, NATS and three services.
"""

import json

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shared.contracts import MAX_INLINE_BYTES
from tests.support.upstream import answer, stream

# Read by the classifier, which refuses what OpenAI's wire does not have there; given a right value or left out.
TYPED = {
    "model": st.sampled_from(("auto", "small", "first-1-model", "", "auto:cheap")),
    "stream_options": st.one_of(st.none(), st.fixed_dictionaries({}, optional={"include_usage": st.booleans()})),
    "metadata": st.one_of(
        st.none(),
        st.dictionaries(st.text(max_size=6).filter(lambda key: not key.startswith("tierwise_")), st.text(max_size=6)),
        st.just({"tierwise_service": "billing", "trace": "7"}),
        st.just({"tierwise_service": "billing"}),
    ),
    "stream": st.booleans(),
    "temperature": st.one_of(st.none(), st.floats(0, 2), st.just(0)),
    "max_tokens": st.one_of(st.none(), st.integers(1, 1000)),
    "seed": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
}
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(("system", "user", "assistant")), "content": st.text()},
        optional={"name": st.text(max_size=5), "cache_control": st.just({"type": "ephemeral"})},
    ),
    min_size=1,
    max_size=3,
)
READ = {
    *TYPED, "messages", "tools", "functions", "tool_choice", "function_call", "response_format", "n", "logprobs",
    "max_completion_tokens", "logit_bias", "modalities", "parallel_tool_calls", "web_search_options",
}  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=6), st.just("model")), inner, max_size=3),
    ),
    max_leaves=8,
)
bodies = st.builds(
    lambda unknown, known, first: {**unknown, **known} if first else {**known, **unknown},
    st.dictionaries(st.text().filter(lambda key: key not in READ), values, max_size=4),
    st.fixed_dictionaries({"messages": MESSAGES}, optional=TYPED),
    st.booleans(),
)
NESTED_MODEL_FIRST = {
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"model": {}}}}}],
    "model": "auto",
    "messages": [{"role": "user", "content": '{"model": "not this one"}'}],
}  # fmt: skip
TOO_LARGE_FOR_ONE_MESSAGE = {
    "x": {"model": "nested"},
    "metadata": {"tierwise_service": "billing", "kept": "yes"},
    "messages": [{"role": "user", "content": 'é\\"\n' * MAX_INLINE_BYTES}],
    "model": "auto",
}


def expected(body: dict) -> dict:
    """The closed list: `model`, `stream_options.include_usage`, `metadata.tierwise_*`."""
    after = {**body, "model": "first-1-model"}
    if body.get("stream") and not (body.get("stream_options") or {}).get("include_usage"):
        after["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    metadata = body.get("metadata")
    if metadata:
        kept = {key: value for key, value in metadata.items() if not key.startswith("tierwise_")}
        if kept:
            after["metadata"] = kept
        else:
            del after["metadata"]
    return after


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(bodies)
@example(NESTED_MODEL_FIRST)
@example(TOO_LARGE_FOR_ONE_MESSAGE)
@example({"messages": [{"role": "system", "content": "B"}, {"role": "system", "content": ""}]})
def test_any_body_reaches_the_backend_unchanged_but_for_the_closed_list(router, body):
    router.first.reset()
    router.first.always(stream(["ok"]) if body.get("stream") else answer())
    # The category is named, for any text may be somebody's: "B", alone, is a choice, and reasoning has another tier.
    got = router.ask(json.dumps(body, ensure_ascii=False).encode(), tierwise_category="general")
    assert got.status == 200, got.body
    assert router.first.requests[-1].json == expected(body)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingress.local_answers import LocalModel, of_llamacpp, of_ollama, of_openai, usable_name

VLLM = {
    "object": "list",
    "data": [
        {"id": "qwen-9b", "owned_by": "vllm", "root": "Qwen/Qwen3.5-9B", "parent": None, "max_model_len": 32768},
        {"id": "sdr", "owned_by": "vllm", "root": "/adapters/sdr", "parent": "qwen-9b", "max_model_len": 32768},
        {"id": "closer", "owned_by": "vllm", "root": "/adapters/closer", "parent": "qwen-9b"},
    ],
}  # fmt: skip
LLAMACPP = {
    "object": "list",
    "data": [
        {
            "id": "gemma", "owned_by": "llamacpp",
            "architecture": {"input_modalities": ["text", "image"]},
            "meta": {"n_ctx": 4096, "n_ctx_train": 131072, "n_params": 3880099328},
        }
    ],
}  # fmt: skip
PROPS = {
    "default_generation_settings": {"n_ctx": 4096},
    "total_slots": 2,
    "modalities": {"vision": True, "audio": False},
    "chat_template_caps": {"supports_tools": True},
}
ADAPTERS = [
    {"id": 0, "path": "/lora/closer.gguf", "scale": 1.0},
    {"id": 1, "path": "/lora/waits.gguf", "scale": 0.0},
]
OLLAMA = {
    "parameters": 'stop                           "<|im_end|>"\ntemperature 0.6',
    "details": {"family": "qwen3", "parameter_size": "8.2B"},
    "model_info": {
        "general.architecture": "qwen3", "general.parameter_count": 8190735360, "qwen3.context_length": 40960
    },
    "capabilities": ["completion", "tools", "thinking"],
}  # fmt: skip


def test_vllms_adapters_are_models_with_a_parent():
    assert of_openai(VLLM) == (LocalModel(name="qwen-9b", context_window=32768, lora_adapters=("closer", "sdr")),)


def test_of_llama_cpp_the_window_of_a_slot_counts_and_adapters_that_are_applied():
    assert of_llamacpp(LLAMACPP, PROPS, ADAPTERS) == (
        LocalModel(
            name="gemma",
            context_window=4096,
            capabilities=("json_schema", "tools", "vision"),
            lora_adapters=("closer",),
            parameters=3880099328,
            slots=2,
        ),
    )


@pytest.mark.parametrize(
    ("props", "capabilities"),
    [
        (PROPS | {"chat_template_caps": {"supports_tools": False}}, ("json_schema", "vision")),
        (PROPS | {"modalities": {"vision": False}}, ("json_schema", "tools")),
        ({}, ("json_schema", "tools", "vision")),  # what is not told is not ruled out
        (None, ("json_schema", "tools", "vision")),
    ],
)
def test_llama_cpps_template_says_whether_tools_are_passed_over(props, capabilities):
    (model,) = of_llamacpp(LLAMACPP, props, None)
    assert model.capabilities == capabilities


def test_a_llama_cpp_that_tells_nothing_of_its_model_leaves_its_capabilities_unknown():
    assert of_llamacpp({"data": [{"id": "m"}]}, None, None) == (LocalModel(name="m"),)


def test_of_several_models_behind_one_llama_cpp_the_loaded_ones_properties_are_nobodys():
    two = {"data": [{"id": "a", "meta": {"n_ctx": 1}}, {"id": "b", "meta": None}]}
    assert of_llamacpp(two, PROPS, ADAPTERS) == (LocalModel(name="a", context_window=1), LocalModel(name="b"))


@pytest.mark.parametrize(
    ("parameters", "running", "window"),
    [
        ("num_ctx                        8192\nstop x", None, 8192),
        ("temperature 1", {"models": [{"name": "qwen3:8b", "context_length": 16384}]}, 16384),
        ("num_ctx 8192", {"models": [{"name": "qwen3:8b", "context_length": 16384}]}, 8192),
        ("temperature 1", {"models": [{"name": "another", "context_length": 16384}]}, 40960),
        (None, None, 40960),
    ],
)
def test_ollamas_window_is_what_is_set_then_what_is_loaded_then_what_was_trained(parameters, running, window):
    model = of_ollama("qwen3:8b", OLLAMA | {"parameters": parameters}, running)
    assert (model.context_window, model.parameters) == (window, 8190735360)
    assert model.capabilities == ("json_schema", "tools")


@pytest.mark.parametrize(
    ("changed", "chats"),
    [({"capabilities": ["embedding"]}, False), ({"remote_host": "https://ollama.com"}, False), ({}, True)],
)
def test_models_for_embeddings_and_those_that_run_elsewhere_do_not_chat_here(changed, chats):
    assert of_ollama("m", OLLAMA | changed, None).chats is chats


def test_an_old_ollama_does_not_tell_what_a_model_can_do():
    shown = {key: value for key, value in OLLAMA.items() if key != "capabilities"}
    assert of_ollama("m", shown, None).capabilities is None


@pytest.mark.parametrize("name", ["", " a", "a\nb", "ä", "${HOME}", "x" * 257, 7, None, ["a"]])
def test_a_name_that_may_not_stand_in_a_policy_is_none(name):
    assert usable_name(name) == ""
    assert of_openai({"data": [{"id": name}]}) == ()


@pytest.mark.parametrize("length", [0, -1, True, 2**31, 2**70, 1.5, "32768", None])
def test_a_window_that_makes_no_sense_is_not_known(length):
    assert of_openai({"data": [{"id": "m", "max_model_len": length}]}) == (LocalModel(name="m"),)


@pytest.mark.parametrize("listed", [None, [], "x", 1, {}, {"data": None}, {"data": {}}, {"error": {"message": "no"}}])
def test_what_is_no_list_of_models_is_none(listed):
    assert of_openai(listed) is None
    assert of_llamacpp(listed, PROPS, ADAPTERS) is None


KEYS = (
    *("data", "id", "parent", "max_model_len", "models", "name", "path", "scale", "context_length"),
    *("meta", "n_ctx", "n_params", "architecture", "input_modalities", "total_slots", "modalities", "vision"),
    *("default_generation_settings", "chat_template_caps", "supports_tools"),
    *("details", "model_info", "general.architecture", "capabilities", "parameters"),
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["completion", "a"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=30,
)


@given(listed=JSON, props=JSON, adapters=JSON)
def test_any_json_at_all_gives_only_usable_names_and_sane_numbers(listed, props, adapters):
    there = [
        *(of_openai({"data": listed}) or ()),
        *(of_llamacpp({"data": listed}, props, adapters) or ()),
        *filter(
            None, [of_ollama("m", listed, props), of_ollama("m", {"details": {}, "model_info": props}, adapters)]
        ),
    ]
    for model in there:
        assert all(usable_name(name) for name in (model.name, *model.lora_adapters))
        assert 0 <= model.context_window < 2**31
        assert model.parameters >= 0
        assert model.slots >= 0
        assert set(model.capabilities or ()) <= {"json_schema", "tools", "vision"}

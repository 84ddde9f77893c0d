"""The batcher, put together. Here will live bulk work: requests that can wait, gathered into jobs of the providers'
batch APIs, at half the price.
"""

from __future__ import annotations

from faststream import FastStream

from shared.cold_service import Settings, policy_app


def build_app(settings: Settings | None = None) -> FastStream:
    return policy_app("batcher", settings or Settings.read())

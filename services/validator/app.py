"""The validator, put together. Here will live the quality loop: sampled answers compared with the reference, windows
with their intervals, and which category is trusted on which backend.
"""

from __future__ import annotations

from faststream import FastStream

from shared.cold_service import Settings, policy_app


def build_app(settings: Settings | None = None) -> FastStream:
    return policy_app("validator", settings or Settings.read())

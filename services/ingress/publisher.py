"""tierwise.yaml into KV, by the ingress that leads: read, checked, completed, put there where it is not there yet.

All others read KV, never the file. What is faulty is refused, and what stands in KV stays in force.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from services.ingress.catalogue import completed
from services.ingress.leadership import Leadership, Refused
from services.ingress.policy_source import PolicySource
from shared.policy import Policy, PolicyFault, encode_published, written_out_keys
from shared.streams import CURRENT, POLICY, ensure_bucket

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

    from shared.hotbus import HotBus
    from shared.ops import Readiness
    from shared.policy_file import Document

# Sections that are read and checked, and not acted on yet: an operator must not believe in them.
NOT_YET: Final = ("rate_limits", "quality", "cache", "batch", "auth")

LOOK_EVERY_S: Final = 0.1  # two looks, a local server's second and the way through KV make less than 2 s
CHECK_EVERY_S: Final = 1.0  # that KV still has it: NATS may have lost its store
ASK_AGAIN_AFTER_S: Final = 5.0  # local servers that gave no answer; each time twice as long
ASK_AGAIN_AT_LEAST_EVERY_S: Final = 300.0
MOST_FAULTS: Final = 50  # told to the other ingresses
LONGEST_FAULT: Final = 1000


async def publish(bucket: KeyValue, policy: Policy) -> int:
    """Puts `policy` where it is not there already; the revision that it has.

    PolicyFault where its readers could not decode it; KeyWrongLastSequenceError where another was quicker.
    """
    payload = encode_published(policy)
    try:
        entry = await bucket.get(CURRENT)
    except KeyNotFoundError:
        return await bucket.create(CURRENT, payload)
    if entry.value == payload and entry.revision is not None:
        return entry.revision
    return await bucket.update(CURRENT, payload, last=entry.revision)


class Publisher:
    """One ingress' file. It is looked at while this ingress leads; its part of `readiness` is "config"."""

    def __init__(
        self,
        path: Path,
        environment: Mapping[str, str],
        bus: HotBus,
        leadership: Leadership,
        readiness: Readiness,
        log: BoundLogger,
    ) -> None:
        self._path = path
        self._environment = environment
        self._bus = bus
        self._leadership = leadership
        self._readiness = readiness
        self._log = log
        self._rest()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if self._leadership.leads:
                await self._turn(time.monotonic())
            else:
                self._rest()
                if self._leadership.another_leads:
                    self._readiness.done("config")
            await asyncio.sleep(LOOK_EVERY_S)

    def _rest(self) -> None:
        """Who does not lead has no opinion; who begins to, reads the file anew."""
        self._source = PolicySource(self._path, self._environment)
        self._document: Document | None = None
        self._policy: Policy | None = None
        self._version = 0
        self._ask_at = self._put_at = float("inf")
        self._ask_after_s = ASK_AGAIN_AFTER_S
        self._is_told = False
        self._say(None)

    async def _turn(self, now: float) -> None:
        try:
            document = await self._source.changed()
            if document is not None:
                self._tell(document)
                self._ask_after_s = ASK_AGAIN_AFTER_S
                await self._complete(document, document.policy, now)
                self._say(None)
            elif self._document is not None and self._policy is not None and now >= self._ask_at:
                await self._complete(self._document, self._policy, now)  # what was found out once, stays
        except PolicyFault as fault:
            self._refuse(fault.faults)
        if self._policy is not None and now >= self._put_at:
            await self._put(self._policy, now)

    async def _complete(self, document: Document, policy: Policy, now: float) -> None:
        """The document's policy, as far as it is known, is wanted in force once this returns. Raises PolicyFault."""
        try:
            found = await completed(policy, self._environment)
            encode_published(found.policy)  # what could not be published is refused, with the file's other faults
        except PolicyFault as fault:
            raise PolicyFault(document.located(fault.found)) from None
        if found.policy != self._policy:
            self._policy, self._put_at = found.policy, now
        self._document = document
        self._ask_at = now + self._ask_after_s if found.unanswered else float("inf")
        self._ask_after_s = min(2 * self._ask_after_s, ASK_AGAIN_AT_LEAST_EVERY_S)

    async def _put(self, policy: Policy, now: float) -> None:
        if not self._leadership.leads:  # looking things up took its time
            return
        self._put_at = now + CHECK_EVERY_S
        try:
            version = await publish(await ensure_bucket(self._bus.client.jetstream(), POLICY), policy)
        except (NatsError, OSError, TimeoutError) as error:
            if not self._is_told:
                self._log.warning("the policy cannot be published yet", error=type(error).__name__)
            self._is_told = True
            return
        self._is_told = False
        self._readiness.done("config")
        if version != self._version:
            self._version = version
            self._log.info("the policy is published", policy_version=version)

    def _tell(self, document: Document) -> None:
        for section in NOT_YET:
            if section in document.sections:
                self._log.warning("this section is not acted on yet", section=section)
        for told in document.located(written_out_keys(document.policy)):
            self._log.warning("a key is written out in the file", where=told)
        if self._document is not None and _address(self._document) != _address(document):
            self._log.warning("server.host and server.port are read at start only: restart to listen there")

    def _refuse(self, faults: list[str]) -> None:
        """Once a reading: the same faulty file is not read again."""
        self._log.error("the policy is refused", file=str(self._path), faults=faults)
        self._readiness.done("config")
        told = [fault[:LONGEST_FAULT] for fault in faults[:MOST_FAULTS]]
        if len(faults) > MOST_FAULTS:
            told.append(f"and {len(faults) - MOST_FAULTS} more, which the leader's log has")
        self._say(Refused(datetime.now(UTC).isoformat(timespec="milliseconds"), tuple(told)))

    def _say(self, refused: Refused | None) -> None:
        self._leadership.mine = msgspec.structs.replace(self._leadership.mine, file=str(self._path), refused=refused)


def _address(document: Document) -> tuple[str, int]:
    return document.policy.server.host, document.policy.server.port

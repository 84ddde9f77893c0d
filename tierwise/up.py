"""`tierwise up`: puts the parts together, hands them to the supervisor, and tells the user where everything is."""

import asyncio
import hashlib
import os
import shlex
import signal
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.policy import PolicyFault
from tierwise import demo
from tierwise.check import read_whole
from tierwise.choices import Address, Choice, Misused, choose_address, choose_config, must_be_guarded
from tierwise.embedded.nats import NatsServer, nats_part
from tierwise.embedded.postgres import DATABASE, USER, PostgresServer, postgres_part
from tierwise.embedded.postgres_place import find_place
from tierwise.lineup import SERVICES, Wiring, migrations_part, service_parts
from tierwise.part import CannotStart, Part
from tierwise.ports import FreePorts, holder, is_free
from tierwise.progress import Progress, curl_line, psql_line
from tierwise.state import State, write_private
from tierwise.supervisor import PartFailed, Supervisor

ECHO_S = 0.5  # a wrapper may pass on the Ctrl-C that the terminal has sent us already; that is no second wish


@dataclass(frozen=True, kw_only=True)
class Options:
    config: Path | None = None
    state: Path = Path(".tierwise")
    host: str | None = None
    port: int | None = None
    demo: bool | None = None
    insecure: bool = False
    large: bool = False


@dataclass(frozen=True, kw_only=True)
class System:
    """Everything that has been decided before the first process starts."""

    parts: list[Part]
    address: Address
    nats_url: str
    database_url: str
    postgres: PostgresServer | None
    notes: list[str]


def up(options: Options, environment: Mapping[str, str] = os.environ, progress: Progress | None = None) -> int:
    """Runs until it is told to stop; the exit code. 2: asked for what cannot be. 1: a part failed."""
    progress = progress or Progress()
    try:
        choice = choose_config(options.config, environment, Path.cwd(), demo=options.demo, large=options.large)
        address = _guarded_address(options, environment, choice)
    except Misused as error:
        progress.failed(str(error), None)
        return 2
    faults = _faults(choice.config, environment)
    if faults:
        progress.failed("\n".join([f"{choice.config} is refused:", *faults]), None)
        return 1
    state = State(options.state)
    try:
        keep_open = state.open()
        address = _free_address(address)
        system = _design(options, environment, choice, address, state)
    except CannotStart as error:
        progress.failed(str(error), None)
        return 1
    return asyncio.run(_run(system, state, keep_open, progress))


async def _run(system: System, state: State, keep_open: int, progress: Progress) -> int:
    def write_run() -> None:
        if ready:
            state.write_run(
                {
                    "url": system.address.url,
                    "nats_url": system.nats_url,
                    "database_url": system.database_url,
                    "processes": supervisor.processes(),
                }
            )

    ready = False
    stop, hurry = _signals(progress)
    supervisor = Supervisor(
        system.parts, log_of=state.log_of, report=progress, on_restart=write_run, keep_open=(keep_open,)
    )
    code = 0
    try:
        if await _unless(stop, supervisor.start()):
            ready = True
            write_run()
            _announce(system, state, progress)
            await _unless(stop, supervisor.watch())
    except PartFailed as error:
        progress.failed(str(error), state.log_of(error.name))
        code = 1
    except CannotStart as error:
        progress.failed(str(error), None)
        code = 1
    finally:
        ready = False
        progress.say("stopping …")
        await supervisor.stop(hurry)
        state.close()
    progress.say("stopped; the next start finds everything as it was left")
    return code


def _faults(config: Path | None, environment: Mapping[str, str]) -> list[str]:
    """What the ingress would refuse, and keys that the dispatcher would not find: said before anything is started."""
    if config is None:
        return []
    try:
        read_whole(config, environment)
    except PolicyFault as fault:
        return fault.faults
    return []


def _design(
    options: Options, environment: Mapping[str, str], choice: Choice, address: Address, state: State
) -> System:
    ports = FreePorts()
    secrets = state.secrets()
    stores: list[Part] = []
    notes: list[str] = []

    nats_url = environment.get("TIERWISE_NATS_URL")
    if not nats_url:
        nats = NatsServer(
            server_name=f"tierwise-{hashlib.sha256(os.fsencode(state.root)).hexdigest()[:12]}",
            port=ports.take(),
            monitor_port=ports.take(),
            user="tierwise",
            password=secrets.nats_password,
            folder=state.root / "nats",
        )
        stores.append(nats_part(nats))
        nats_url = nats.url

    database_url = environment.get("TIERWISE_DATABASE_URL")
    postgres = None
    if not database_url:
        postgres = PostgresServer(
            place=find_place(state.root),
            port=ports.take(),
            password=secrets.postgres_password,
            log=state.log_of("postgres"),
        )
        stores.append(postgres_part(postgres))
        database_url = postgres.url
        write_private(state.pgpass, f"127.0.0.1:{postgres.port}:{DATABASE}:{USER}:{secrets.postgres_password}\n")

    models: list[Part] = []
    config = choice.config
    if choice.demo:
        demo_file = state.root / "demo.yaml"
        models = _demo_parts(options, state, ports, demo_file)
        if config is None:
            config = demo_file
            if not options.large:
                notes.append("demo: both tiers are the same 135M model; `make up LARGE=1` fetches a larger one")
        else:
            notes.append(f"{config} is in force; {demo_file} shows how to name the demo's two models in it")
    assert config is not None

    wiring = Wiring(
        nats_url=nats_url,
        database_url=database_url,
        config=config,
        host=address.host,
        port=address.port,
        insecure=options.insecure,
    )
    embedded = {part.name for part in stores}
    services = service_parts(wiring, environment, {name: ports.take() for name in SERVICES}, embedded)
    return System(
        parts=[*stores, *models, migrations_part(wiring, environment, embedded), *services],
        address=address,
        nats_url=nats_url,
        database_url=database_url,
        postgres=postgres,
        notes=notes,
    )


def _demo_parts(options: Options, state: State, ports: FreePorts, config: Path) -> list[Part]:
    large_gguf = None
    if options.large:
        from tierwise.large_model import large_model_file

        large_gguf = large_model_file(state.root / "models")
    models = demo.demo_models(ports.take(8001), ports.take(8002), large_gguf)
    config.write_text(demo.demo_config(models))
    return [demo.model_part(model) for model in models]


def _guarded_address(options: Options, environment: Mapping[str, str], choice: Choice) -> Address:
    text = choice.config.read_text(errors="replace") if choice.config else None
    address = choose_address(options.host, options.port, environment, text)
    if must_be_guarded(address.host) and not (options.insecure or environment.get("TIERWISE_ADMIN_TOKEN")):
        raise Misused(
            f"{address.host} can be reached from other machines: set TIERWISE_ADMIN_TOKEN and the config's "
            "auth.required, or say --insecure if something in front of it guards it"
        )
    return address


def _free_address(address: Address) -> Address:
    if address.port == 0:
        return Address(address.host, FreePorts().take(host=address.host))
    if not is_free(address.port, address.host):
        by = holder(address.port)
        raise CannotStart(
            f"port {address.port} is in use{f' (by {by})' if by else ''}; stop it or choose another: "
            "tierwise up --port 0 takes a free one"
        )
    return address


def _announce(system: System, state: State, progress: Progress) -> None:
    say = progress.say
    say()
    say(f"Tierwise is ready: {system.address.url}", style="bold green")
    for note in system.notes:
        say(note)
    say()
    say("Ask it something:")
    say(f"  {curl_line(system.address.url)}")
    say("See what it cost:")
    if system.postgres:
        place = system.postgres.place
        say(f"  {psql_line(place.binaries / 'psql', state.pgpass, system.postgres.port)}")
        if place.elsewhere:
            say(f"PostgreSQL's data: {place.data} (its user `nobody` cannot enter {state.root})")
    else:
        say('  psql "$TIERWISE_DATABASE_URL" -c "select * from tierwise.requests order by received_at desc limit 10"')
    say(f"State: {shlex.quote(str(state.root))}   logs: {shlex.quote(str(state.logs))}   stop: Ctrl-C")


def _signals(progress: Progress) -> tuple[asyncio.Event, asyncio.Event]:
    """The first asks to stop, the next one to hurry."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    first_at = 0.0

    def asked() -> None:
        nonlocal first_at
        if not stop.is_set():
            first_at = time.monotonic()
            stop.set()
        elif time.monotonic() - first_at > ECHO_S and not hurry.is_set():
            progress.say("hurrying …")
            hurry.set()

    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(sig, asked)
    return stop, hurry


async def _unless(stop: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Did the work end by itself? Otherwise it was cancelled as `stop` was set."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)

"""The command line. Each command is a few lines here, and a module of its own."""

import errno
import importlib.metadata
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Tierwise sends each LLM request to the cheapest model that is good enough.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Form(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def main() -> None:
    _open_what_is_closed()
    try:
        app()
    except OSError as error:
        if error.errno != errno.ENOSPC:  # that nobody reads on (`| head`) Typer has seen to
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python flushes at its end goes there
        print(f"the output cannot be written: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def _open_what_is_closed() -> None:
    """Who starts us may have closed stdin or stdout (`<&-`), and then they are None here."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - until the end


def _version(wanted: bool) -> None:  # noqa: FBT001  Typer hands it over so
    if wanted:
        print(f"tierwise {importlib.metadata.version('tierwise')}")
        raise typer.Exit


@app.callback()
def _tierwise(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


@app.command()
def up(
    *,
    config: Annotated[
        Path | None, typer.Option(help="The config; else TIERWISE_CONFIG, else ./tierwise.yaml.")
    ] = None,
    state: Annotated[Path, typer.Option(help="Where everything that lasts is kept.")] = Path(".tierwise"),
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 unless told.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one; 8080 unless told.")
    ] = None,
    demo: Annotated[
        bool | None,
        typer.Option(
            "--demo/--no-demo", help="Two small models and a config for them; the default where there is no config."
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen for other machines without asking for keys.")
    ] = False,
    large: Annotated[
        bool, typer.Option("--large", help="The demo's large tier is a 1.5B model (fetches 1.1 GB once).")
    ] = False,
) -> None:
    """Start everything: NATS, PostgreSQL, the demo's models, and the six services. Ctrl-C stops it.

    Example: tierwise up --config tierwise.yaml --port 8080
    """
    from tierwise.up import Options
    from tierwise.up import up as run

    options = Options(config=config, state=state, host=host, port=port, demo=demo, insecure=insecure, large=large)
    raise typer.Exit(run(options))


@app.command()
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="A config, such as tierwise.yaml.")]) -> None:
    """Say what is wrong with a config: a line a fault, with where, what, and how to mend it, and exit code 1.

    Nothing is called and nothing else need run. A good config is summed up, with warnings where it may surprise.

    Example: tierwise check tierwise.yaml
    """
    from tierwise.check import check as run

    raise typer.Exit(run(file))


@app.command()
def init(
    *,
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("tierwise.yaml"),
    probe: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Look for a model server there too; may be repeated.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The backend or model that judges quality; else the dearest local one."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    claude: Annotated[bool, typer.Option("--claude", help="Print how Claude Code is pointed here.")] = False,
    cursor: Annotated[bool, typer.Option("--cursor", help="The same for Cursor.")] = False,
    continue_: Annotated[bool, typer.Option("--continue", help="The same for Continue.")] = False,
    aider: Annotated[bool, typer.Option("--aider", help="The same for Aider.")] = False,
    openwebui: Annotated[bool, typer.Option("--openwebui", help="The same for Open WebUI.")] = False,
) -> None:
    """Find model servers on this machine and provider keys in the environment, and write a config for them.

    Example: tierwise init --probe http://10.0.0.7:8000
    """
    from tierwise.init import Options
    from tierwise.init import init as run

    asked = {"claude": claude, "cursor": cursor, "continue": continue_, "aider": aider, "openwebui": openwebui}
    clients = tuple(name for name, wanted in asked.items() if wanted)
    options = Options(output=output, probes=tuple(probe or ()), reference=reference, force=force, clients=clients)
    raise typer.Exit(run(options))


@app.command()
def explain(
    *,
    file: Annotated[Path, typer.Argument(help="A chat request as JSON; - reads it from stdin.")] = Path("-"),
    config: Annotated[
        Path | None, typer.Option(help="The config; else TIERWISE_CONFIG, else ./tierwise.yaml.")
    ] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One request a line in, one decision a line out.")] = False,
) -> None:
    """Say how a chat request would be decided, and why. Nothing is called, nothing spent.

    Example: echo '{"messages": [{"role": "user", "content": "Classify this ticket."}]}' | tierwise explain
    """
    from tierwise.explain import run

    raise typer.Exit(run(file, config, jsonl=jsonl))


@app.command()
def statement(
    *,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The budgets' day; today in UTC where left out.")
    ] = None,
    service: Annotated[str, typer.Option(help="Only this service.")] = "",
    form: Annotated[Form, typer.Option("--format", help="How it is shown.")] = Form.TABLE,
) -> None:
    """Show a day's books: by service what was spent where, on the floor too, and what cache and batch saved.

    Asks the Tierwise at TIERWISE_URL, else the one that `tierwise up` runs here.

    Example: tierwise statement --day 2026-11-26 --service billing --format csv
    """
    from tierwise.statement import run

    asked = (day or datetime.now(UTC)).date().isoformat()
    raise typer.Exit(run(asked, service, form.value))

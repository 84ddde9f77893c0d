"""What `tierwise up` says while it starts and runs. Plain text where there is no terminal."""

import json
import shlex
import signal
import textwrap
from contextlib import suppress
from pathlib import Path

from rich.console import Console

LOG_LINES = 25


class Progress:
    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def say(self, line: str = "", style: str = "") -> None:
        # A reader that is gone (a closed terminal, `| head`) must not keep us from ending our children.
        with suppress(OSError, SystemExit):
            self._console.print(line, style=style, markup=False, soft_wrap=True)

    def part_ready(self, name: str, seconds: float) -> None:
        self.say(f"  {name:<12} ready in {seconds:5.2f} s", style="green")

    def part_died(self, name: str, code: int, delay_s: float) -> None:
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self.say(f"  {name:<12} {how}; started again in {delay_s:.1f} s", style="yellow")

    def waiting(self, waits: dict[str, str]) -> None:
        listed = ", ".join(f"{name} ({reason})" for name, reason in waits.items())
        self.say(f"  still waiting for {listed}", style="yellow")

    def failed(self, message: str, log: Path | None) -> None:
        self.say(f"tierwise: {message}", style="bold red")
        if log is not None and log.exists():
            self.say(f"the last lines of {log}:")
            self.say(textwrap.indent("\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:]), "  | "))


def curl_line(url: str) -> str:
    question = {"role": "user", "content": "Positive or negative: the battery died after a week."}
    body = {"model": "auto", "messages": [question], "max_tokens": 40}
    return f"curl {url}/v1/chat/completions -H 'content-type: application/json' -d '{json.dumps(body)}'"


def psql_line(psql: Path, pgpass: Path, port: int) -> str:
    """The password stays in its file: a command line is for everyone to read in the process list."""
    query = (
        "select received_at, category, tier, backend, input_tokens, output_tokens, cost_usd, saved_usd "
        "from tierwise.requests order by received_at desc limit 10"
    )
    words = [str(psql), "-h", "127.0.0.1", "-p", str(port), "-U", "tierwise", "tierwise", "-c", query]
    return f"PGPASSFILE={shlex.quote(str(pgpass))} {shlex.join(words)}"

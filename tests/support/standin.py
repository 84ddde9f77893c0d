"""A project folder whose services only say that they are ready, to see what `tierwise up` does without ours."""

import sys
from pathlib import Path

from tierwise.lineup import SERVICES

SERVICE = """
import http.server, os, signal, sys
print("stand-in", os.environ.get("TIERWISE_CONFIG"), flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["TIERWISE_OPS_PORT"])), Handler).serve_forever()
"""
COMMAND = """
import sys
from pathlib import Path
del sys.path[0]  # the stand-ins are what runs, not what `up` reads a config with
import tierwise.lineup
tierwise.lineup.ROOT = Path(__file__).parent
from tierwise.cli import main
main()
"""


def standin_command(folder: Path) -> tuple[str, ...]:
    """The command to give to `Stack`."""
    for name in SERVICES:
        package = folder / "services" / name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(SERVICE)
    (folder / "services" / "__init__.py").touch()
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "migrations" / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s\n")
    (folder / "migrations" / "env.py").write_text("print('migrated')\n")
    (folder / "run.py").write_text(COMMAND)
    return (sys.executable, str(folder / "run.py"))

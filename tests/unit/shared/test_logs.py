"""Every line of a service is JSON and has its name. In a process of its own: logging is set up once."""

import json
import subprocess
import sys

PROGRAM = """
import sys
import shared.logs
import asyncio, logging, structlog
early = structlog.get_logger()
returned = shared.logs.set_up("ledger")
assert "rich" not in sys.modules
returned.info("said", amount=1)
early.warning("also said")
logging.getLogger("some.library").error("broke %d times", 2)

async def main():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)

asyncio.run(main())
"""


def test_every_line_is_json_and_names_the_service_the_libraries_too():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert not done.stderr
    said, also, library, callback = map(json.loads, done.stdout.splitlines())
    assert {line["service"] for line in (said, also, library, callback)} == {"ledger"}
    assert (said["event"], said["amount"], said["level"]) == ("said", 1, "info")
    assert (also["event"], also["level"]) == ("also said", "warning")
    assert (library["event"], library["logger"], library["level"]) == ("broke 2 times", "some.library", "error")
    assert callback["logger"] == "asyncio"
    assert "ZeroDivisionError" in callback["exception"]

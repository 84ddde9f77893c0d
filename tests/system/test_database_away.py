"""PostgreSQL is away for a minute under load: answers go on, and afterwards no row is lost and none is doubled."""

import os
import signal
from pathlib import Path

from tests.support.folders import passable_folder
from tests.support.router import running_router
from tests.support.running import start, stop
from tests.support.upstream import as_asked
from tierwise.embedded.postgres import PostgresServer, postgres_part
from tierwise.embedded.postgres_place import find_place
from tierwise.ports import FreePorts

SILENT_S = 30  # it takes connections, and says nothing
GONE_S = 30


def test_postgresql_is_away_for_a_minute_under_load_and_no_row_is_lost_or_doubled():
    with passable_folder() as folder:
        place = find_place(folder)
        server = PostgresServer(place=place, port=FreePorts().take(), password="tests", log=folder / "postgres.log")
        part = postgres_part(server)
        process = start(part, server.log)
        try:
            with running_router({"TIERWISE_DATABASE_URL": server.url}) as router:
                router.first.always(as_asked(after_s=0.05))
                router.wait_until_it_answers()
                with router.crowd() as crowd:
                    freeze(process.pid)
                    crowd.be_served_for(SILENT_S)
                    kill_frozen(process.pid)
                    process.wait()
                    crowd.be_served_for(GONE_S)
                    process = start(part, server.log)
                    crowd.wait_for_answers()
                assert not crowd.refused, "nobody who asks waits for the database"
                assert crowd.slowest_s < SILENT_S / 2, "who waited for the database would wait for all of that"
                router.check_books(crowd.answered)
        finally:
            stop(part, process)


def family(pid: int) -> list[int]:
    """The postmaster and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def freeze(pid: int) -> None:
    for member in family(pid):
        os.kill(member, signal.SIGSTOP)


def kill_frozen(pid: int) -> None:
    for member in family(pid):
        os.kill(member, signal.SIGKILL)

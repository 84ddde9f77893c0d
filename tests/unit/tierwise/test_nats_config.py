import subprocess
import sys
from pathlib import Path

from tierwise.embedded.nats import NatsServer, config_text


def server(folder: Path, accounts: int = 0) -> NatsServer:
    return NatsServer(
        server_name="tierwise-1",
        port=4222,
        monitor_port=8222,
        user="tierwise",
        password="p",
        folder=folder,
        accounts=accounts,
    )


def test_it_listens_on_the_loopback_alone_and_knows_its_limits():
    text = config_text(server(Path("/s")))
    assert 'listen: "127.0.0.1:4222"' in text
    assert 'http: "127.0.0.1:8222"' in text
    assert "max_payload: 1MB" in text
    assert "max_pending: 256MB" in text


def test_nats_itself_accepts_the_config_whatever_the_folder_is_called(tmp_path):
    folder = tmp_path / 'a "quoted" folder, with ünïcode'
    folder.mkdir()
    for accounts in (0, 3):
        config = folder / "nats.conf"
        config.write_text(config_text(server(folder, accounts)))
        done = subprocess.run(
            [Path(sys.executable).parent / "nats-server", "-t", "-c", config],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

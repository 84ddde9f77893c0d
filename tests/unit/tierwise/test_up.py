"""What `tierwise up` refuses before anything is started."""

import io

import pytest
from rich.console import Console

from tierwise.progress import Progress
from tierwise.up import Options, up

CONFIG = """\
tiers: [small]
backends:
  - {name: small-1, tier: small, provider: openai, model: gpt-4o, api_key: "${KEY}"}
"""


@pytest.mark.parametrize(
    ("config", "environment", "told"),
    [
        (CONFIG, {}, ":3: backends[0] (small-1).api_key: ${KEY} is not set"),
        (CONFIG.replace("name:", "nmae:"), {"KEY": "k"}, ":3: backends[0].nmae: there is no such key"),
        # Nobody would put such a policy in force, and every service would wait for one.
        (CONFIG.replace("gpt-4o", "no-such"), {"KEY": "k"}, ":3: backends[0] (small-1).price: no price is known"),
    ],
)
def test_a_config_that_the_ingress_would_refuse_is_refused_at_once(tmp_path, config, environment, told):
    file, said = tmp_path / "tierwise.yaml", io.StringIO()
    file.write_text(config)
    state = file  # no folder: with this nothing could be started
    options = Options(config=file, state=state, port=0, demo=False)
    assert up(options, environment, Progress(Console(file=said, width=200, highlight=False))) == 1
    assert f"tierwise.yaml{told}" in said.getvalue()

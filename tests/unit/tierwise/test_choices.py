import pytest

from tierwise.choices import Address, Choice, Misused, choose_address, choose_config, must_be_guarded


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "named.yaml").touch()
    (tmp_path / "other.yaml").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("option", "environment", "default_there", "demo", "config", "with_demo"),
    [
        ("named.yaml", "other.yaml", True, None, "named.yaml", False),
        (None, "other.yaml", True, None, "other.yaml", False),
        (None, None, True, None, "tierwise.yaml", False),
        (None, None, False, None, None, True),
        (None, None, False, True, None, True),
        ("named.yaml", None, False, True, "named.yaml", True),
        ("named.yaml", None, False, False, "named.yaml", False),
    ],
)
def test_the_config_is_the_option_else_the_environment_else_the_file_here_else_the_demos(
    folder, option, environment, default_there, demo, config, with_demo
):
    if default_there:
        (folder / "tierwise.yaml").touch()
    chosen = choose_config(
        folder / option if option else None,
        {"TIERWISE_CONFIG": environment} if environment else {},
        folder,
        demo=demo,
    )
    assert chosen == Choice(config=folder / config if config else None, demo=with_demo)


@pytest.mark.parametrize(
    ("option", "environment", "demo", "large", "says"),
    [
        ("gone.yaml", {}, None, False, "--config: there is no file"),
        (None, {"TIERWISE_CONFIG": "gone.yaml"}, None, False, "TIERWISE_CONFIG: there is no file"),
        (None, {}, False, False, "--no-demo needs a config"),
        ("named.yaml", {}, None, True, "--large is about the demo's models"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(folder, option, environment, demo, large, says):
    with pytest.raises(Misused, match=says):
        choose_config(folder / option if option else None, environment, folder, demo=demo, large=large)


@pytest.mark.parametrize(
    ("host", "port", "environment", "config", "expected"),
    [
        (None, None, {}, None, Address("127.0.0.1", 8080)),
        (None, None, {}, "server: {host: '::1', port: 9000}", Address("::1", 9000)),
        (None, None, {"TIERWISE_PORT": "9001"}, "server: {port: 9000}", Address("127.0.0.1", 9001)),
        ("0.0.0.0", 0, {"TIERWISE_HOST": "10.0.0.1", "TIERWISE_PORT": "9001"}, None, Address("0.0.0.0", 0)),
        (None, None, {}, "server: [not, a, mapping]", Address("127.0.0.1", 8080)),
        (None, None, {}, "a: {broken", Address("127.0.0.1", 8080)),
        (None, None, {}, "server: {port: !!bool abc}", Address("127.0.0.1", 8080)),
        (None, None, {}, "day: 2026-13-45", Address("127.0.0.1", 8080)),
        (None, None, {}, "[" * 5000, Address("127.0.0.1", 8080)),
        (None, None, {"MY_PORT": "1"}, "server: {port: '${MY_PORT}'}", Address("127.0.0.1", 1)),
        (None, None, {}, "server: {host: '${MY_HOST}'}", Address("127.0.0.1", 8080)),
    ],
)
def test_the_address_is_the_option_else_the_environment_else_the_configs(host, port, environment, config, expected):
    assert choose_address(host, port, environment, config) == expected


def test_a_port_that_is_no_number_is_refused():
    with pytest.raises(Misused, match="no port"):
        choose_address(None, None, {"TIERWISE_PORT": "http"}, None)
    with pytest.raises(Misused, match="no port"):
        choose_address(None, None, {}, "server: {port: [1]}")


@pytest.mark.parametrize(
    ("host", "guarded"),
    [
        *(("127.0.0.1", False), ("127.9.9.9", False), ("::1", False), ("localhost", False)),
        *(("0.0.0.0", True), ("::", True), ("10.1.2.3", True), ("example.org", True)),
    ],
)
def test_whatever_others_can_reach_must_be_guarded(host, guarded):
    assert must_be_guarded(host) is guarded


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:1"), ("0.0.0.0", "http://127.0.0.1:1"), ("::", "http://[::1]:1")],
)
def test_the_url_is_one_that_this_machine_can_call(host, url):
    assert Address(host, 1).url == url

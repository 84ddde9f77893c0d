import pytest

from services.dispatcher.proxies import proxy_for

P, Q = "http://proxy:3128", "http://other:1"


@pytest.mark.parametrize(("environment", "url", "expected"), [
    ({}, "https://api.example/v1", None),
    ({"HTTPS_PROXY": P}, "https://api.example/v1", P),
    ({"HTTPS_PROXY": P}, "http://api.example/v1", None),
    ({"http_proxy": P}, "http://api.example/v1", P),
    ({"HTTP_PROXY": P, "http_proxy": Q}, "http://api.example", Q),
    ({"HTTP_PROXY": ""}, "http://api.example", None),
    ({"ALL_PROXY": P}, "https://api.example", P),
    ({"all_proxy": P, "HTTPS_PROXY": Q}, "https://api.example", Q),
    ({"HTTPS_PROXY": "proxy:3128"}, "https://api.example", P),
    ({"ALL_PROXY": "socks5://proxy:1080"}, "https://api.example", "socks5://proxy:1080"),
])  # fmt: skip
def test_a_proxy_is_the_one_for_the_scheme(environment, url, expected):
    assert proxy_for(url, environment) == expected


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:8001/v1", "http://127.8.8.8", "http://localhost:8001", "http://models.localhost", "http://[::1]:8001",
])  # fmt: skip
def test_loopback_is_never_proxied(url):
    assert proxy_for(url, {"ALL_PROXY": P, "HTTP_PROXY": P}) is None


@pytest.mark.parametrize(("exceptions", "url", "direct"), [
    ("*", "http://api.example", True),
    ("api.example", "http://api.example", True),
    ("API.example", "http://api.EXAMPLE", True),
    ("example", "http://api.example", True),
    (".example", "http://api.example", True),
    ("*.example", "http://api.example", True),
    ("ample", "http://api.example", False),
    ("api.example:8000", "http://api.example:8000", True),
    ("api.example:8000", "http://api.example", False),
    ("other, api.example", "http://api.example", True),
    ("other api.example", "http://api.example", True),
    ("api.example", "http://api.example.", True),
    ("10.0.0.0/8", "http://10.1.2.3:8001", True),
    ("10.0.0.0/8", "http://11.1.2.3:8001", False),
    ("192.168.1.5", "http://192.168.1.5", True),
    ("fd00::/8", "http://[fd00::1]:8001", True),
    ("[fd00::1]", "http://[fd00::1]", True),
    ("[fd00::1]:8001", "http://[fd00::1]:8001", True),
    (",", "http://api.example", False),
])  # fmt: skip
def test_no_proxy_names_what_is_reached_directly(exceptions, url, direct):
    environment = {"HTTP_PROXY": P, "NO_PROXY": exceptions}
    assert (proxy_for(url, environment) is None) == direct

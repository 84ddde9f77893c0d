"""What GET /api/policy shows of a policy, and what it never shows."""

import msgspec

from services.ingress.api import CurrentPolicy
from services.ingress.api_policy import policy_routes, shown
from services.ingress.leadership import Lease, Refused
from shared.policy import from_tree

PRICE = {"input_per_1m": 1, "output_per_1m": 1}


def backend(name, **keys):
    return {"name": name, "tier": "small", "provider": "vllm", "model": "m", "price": PRICE, **keys}


def test_what_may_be_a_secret_is_shown_by_its_name_or_as_set():
    policy = from_tree(
        {
            "tiers": ["small"],
            "backends": [
                backend("named", base_url="http://${HOST}/v1", api_key="${KEY}"),
                backend("written", base_url="http://10.0.0.7/sk-secret/v1", api_key="sk-secret"),
                backend("whole", base_url="${URL}", api_key="Bearer ${KEY}"),
            ],
        },
        {},
    )
    seen = [(one["base_url"], one["api_key"]) for one in shown(policy)["backends"]]
    assert seen == [("set", "${KEY}"), ("set", "set"), ("${URL}", "set")]
    assert b"sk-secret" not in msgspec.json.encode(shown(policy))
    assert policy.backends[1].api_key == "sk-secret", "what is shown is a copy"


class Leading:
    lease = Lease("req_0123456789ab", "/etc/tierwise.yaml", Refused("2026-11-26T07:00:00Z", ("tiers: is missing",)))


async def test_where_the_very_first_file_was_refused_its_faults_are_told():
    current = CurrentPolicy()
    current.leadership = Leading()
    [route] = policy_routes(current, lambda: "req_1").routes
    answer = await route.endpoint()
    told = msgspec.json.decode(answer.body)
    assert (answer.status_code, told["version"], told["policy"]) == (200, 0, None)
    assert told["refused"]["faults"] == ["tiers: is missing"]


async def test_without_a_policy_it_is_503_in_the_shape_of_openai():
    [route] = policy_routes(CurrentPolicy(), lambda: "req_1").routes
    answer = await route.endpoint()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    error = msgspec.json.decode(answer.body)["error"]
    assert (error["code"], error["type"], error["request_id"]) == ("no_policy", "server_error", "req_1")

"""`tierwise.yaml` as types, read strictly: every fault a sentence that says where, what, and how to mend it.

sections.py has the types; tree.py reads a parsed file into them, names.py replaces its `${NAME}`, checks.py looks at
what only makes sense together; published.py is the form in KV. Not here: the file itself (shared/policy_file.py), the
watch (shared/policy_watch.py), and looking up what it leaves out (services/ingress/catalogue.py).

The published form has prices filled in and `${NAME}` replaced, but for `api_key` and `base_url`: what they name stays
in the environment of whoever calls a backend, and is resolved there with `resolve`.
"""

from shared.policy.faults import Fault, PolicyFault
from shared.policy.names import resolve, written_out_keys
from shared.policy.published import decode_published, encode_published
from shared.policy.sections import (
    AUTO_NAMES,
    DEFAULT_BASE_URLS,
    LOCAL_PROVIDERS,
    SECRET_KEYS,
    Auth,
    Backend,
    Batch,
    Budget,
    Cache,
    Capability,
    Category,
    Policy,
    PriceSetting,
    Priority,
    Provider,
    Quality,
    RateLimit,
    Retention,
    Routing,
    Rule,
    Savings,
    Server,
    When,
)
from shared.policy.tree import from_tree

__all__ = [
    "AUTO_NAMES",
    "DEFAULT_BASE_URLS",
    "LOCAL_PROVIDERS",
    "SECRET_KEYS",
    "Auth",
    "Backend",
    "Batch",
    "Budget",
    "Cache",
    "Capability",
    "Category",
    "Fault",
    "Policy",
    "PolicyFault",
    "PriceSetting",
    "Priority",
    "Provider",
    "Quality",
    "RateLimit",
    "Retention",
    "Routing",
    "Rule",
    "Savings",
    "Server",
    "When",
    "decode_published",
    "encode_published",
    "from_tree",
    "resolve",
    "written_out_keys",
]

"""How clients are pointed at Tierwise: what to paste, and where."""

from collections.abc import Callable, Mapping
from typing import Final

_KEY: Final = "tierwise"  # any text, until `auth.required` is set: many clients refuse to start without one


def claude(url: str) -> str:
    return f"""\
Claude Code (and everything on Anthropic's SDK), in the shell that starts it:

  export ANTHROPIC_BASE_URL={url}
  export ANTHROPIC_AUTH_TOKEN={_KEY}
  claude

It speaks POST /v1/messages, which a later release of Tierwise answers; until then it gets a 404.
The alias "claude-*": auto in tierwise.yaml lets Tierwise choose the model."""


def cursor(url: str) -> str:
    return f"""\
Cursor: Settings, Models, API Keys:

  OpenAI API Key             {_KEY}
  Override OpenAI Base URL   {url}/v1
  Add a custom model         auto

Cursor's own servers call that address, so it must be reachable from the internet. Before you open it, set
auth.required and TIERWISE_ADMIN_TOKEN, and use a key from `tierwise keys create` in place of {_KEY}."""


def continue_(url: str) -> str:
    return f"""\
Continue, in ~/.continue/config.yaml:

  models:
    - name: Tierwise
      provider: openai
      model: auto
      apiBase: {url}/v1
      apiKey: {_KEY}
      roles: [chat, edit, apply]"""


def aider(url: str) -> str:
    return f"""\
Aider, in the shell that starts it:

  export OPENAI_API_BASE={url}/v1
  export OPENAI_API_KEY={_KEY}
  aider --model openai/auto"""


def openwebui(url: str) -> str:
    inside = url.replace("//127.0.0.1", "//host.docker.internal").replace("//localhost", "//host.docker.internal")
    return f"""\
Open WebUI: Admin Settings, Connections, OpenAI API, URL {url}/v1 and key {_KEY}; or as a container:

  docker run -p 3000:8080 --add-host host.docker.internal:host-gateway \\
    -e OPENAI_API_BASE_URL={inside}/v1 -e OPENAI_API_KEY={_KEY} ghcr.io/open-webui/open-webui:main

Choose `auto` among the models. (From a container, Tierwise must listen on more than 127.0.0.1.)"""


CLIENTS: Final[Mapping[str, Callable[[str], str]]] = {
    "claude": claude,
    "cursor": cursor,
    "continue": continue_,
    "aider": aider,
    "openwebui": openwebui,
}

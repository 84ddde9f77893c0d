"""Servers of ours in place of Ollama, vLLM and others: each path's answer, as the real ones give it."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Answer = Callable[[dict[str, Any]], Any] | dict[str, Any] | list[Any]

VLLM = {
    "/v1/models": {
        "object": "list",
        "data": [
            {"id": "qwen-9b", "owned_by": "vllm", "root": "Qwen/Qwen3.5-9B", "parent": None, "max_model_len": 32768},
            {"id": "sdr", "owned_by": "vllm", "root": "/adapters/sdr", "parent": "qwen-9b", "max_model_len": 32768},
        ],
    },
    "/version": {"version": "0.19.0"},
}
_SHOWN = {
    "qwen3:8b": {
        "details": {"format": "gguf", "parameter_size": "8.2B"},
        "model_info": {
            "general.architecture": "qwen3",
            "general.parameter_count": 8190735360,
            "qwen3.context_length": 40960,
        },
        "parameters": "num_ctx                        16384",
        "capabilities": ["completion", "tools", "thinking"],
    },
    "nomic-embed-text:latest": {"details": {}, "model_info": {}, "capabilities": ["embedding"]},
}
OLLAMA = {
    "/v1/models": {"object": "list", "data": [{"id": name, "owned_by": "library"} for name in _SHOWN]},
    "/api/tags": {"models": [{"name": name, "model": name, "size": 1} for name in _SHOWN]},
    "/api/ps": {"models": []},
    "/api/show": lambda asked: _SHOWN.get(asked.get("model")),
}


@contextmanager
def model_server(
    answers: Mapping[str, Answer], *, headers: Mapping[str, str] | None = None, key: str = ""
) -> Iterator[str]:
    """Its URL, without a path. What is not in `answers` is a 404, and everything a 401 without the key."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            answer = answers.get(self.path)
            if callable(answer):
                answer = answer(json.loads(body))
            allowed = not key or self.headers.get("authorization") == f"Bearer {key}"
            status = (404 if answer is None else 200) if allowed else 401
            payload = json.dumps(answer if status == 200 else {"error": "no"}).encode()
            self.send_response_only(status)
            for name, value in {"server": "somebody", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_POST = do_GET  # noqa: N815  the library calls it so

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()

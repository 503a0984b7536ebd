"""A plan as a Python program that generates offline: the snippet of vLLM Ascend's guide.

Prompts, sampling and names are those of its quantization guide; the arguments of `LLM` are the
plan's.
"""

from __future__ import annotations

from registry.errors import IncompatibleError
from serving.generate import llm_arguments
from serving.plan import Plan
from serving.render.text import comments, header, why

_PROMPTS = ("Hello, my name is", "The future of AI is")
_SAMPLING = "temperature=0.6, top_p=0.95, top_k=40"


def render_python(plan: Plan) -> str:
    """A program around vLLM's `LLM` class: environment first, then the import, then the model.

    Raises:
        IncompatibleError: the plan has several replicas or nodes, which `LLM` does not start; or
            an argument that Python cannot spell.
    """
    if plan.nodes > 1 or plan.parallel.get("data", 1) > 1:
        raise IncompatibleError(
            f"One LLM object is one replica on one node; this plan has {plan.parallel['data']} "
            f"replica(s) on {plan.nodes} node(s)",
            remedy="Plan with -- --data-parallel-size 1, or serve it by another format.",
        )
    reasons = {_keyword(flag.name): flag for flag in plan.flags}
    lines = [*header(plan), "import os", ""]
    for flag in plan.flags:
        if flag.is_environment:
            lines += comments([why(flag)])
            lines.append(f"os.environ[{flag.name!r}] = {flag.value or ''!r}")
    lines += [
        "",
        "from vllm import LLM, SamplingParams  # noqa: E402 - reads the environment",
        "",
        "",
        "def main():",
        "    prompts = [",
        *(f'        "{prompt}",' for prompt in _PROMPTS),
        "    ]",
        "    # Without max_tokens vLLM ends each text after 16 tokens.",
        f"    sampling_params = SamplingParams({_SAMPLING})",
        "    llm = LLM(",
    ]
    for name, value in llm_arguments(plan).items():
        if not name.isidentifier():
            raise IncompatibleError(
                f"Python cannot spell the argument {name!r}",
                remedy="Give the flag's whole value as JSON, not single keys of it.",
            )
        if name in reasons:
            lines += [f"        {line}" for line in comments([why(reasons[name])])]
        lines.append(f"        {name}={value!r},")
    lines.append("    )")
    if plan.chat:
        lines += [
            "    # Texts are completed as they are. To ask questions, with the chat template:",
            '    # llm.chat([[{"role": "user", "content": "What is AI?"}]], sampling_params)',
        ]
    lines += [
        "    outputs = llm.generate(prompts, sampling_params)",
        "    for output in outputs:",
        "        prompt = output.prompt",
        "        generated_text = output.outputs[0].text",
        '        print(f"Prompt: {prompt!r}, Generated text: {generated_text!r}")',
        "",
        "",
        "# Workers import this file again where they are spawned.",
        'if __name__ == "__main__":',
        "    main()",
    ]
    return "\n".join(lines) + "\n"


def _keyword(name: str) -> str:
    return name.removeprefix("--no-").removeprefix("--").replace("-", "_")

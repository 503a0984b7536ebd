"""Answers prompts with vLLM's LLM class. Runs inside an engine's toolchain: python … JOB

JOB: {"arguments": {…}, "prompts": [text or messages, …], "chat", "sampling": {…}, "result"}
Writes [{"prompt", "answer", "tokens"}, …] to `result`.
"""

import json
import os
import sys
from pathlib import Path


def main(job):
    from vllm import LLM, SamplingParams

    llm = LLM(**job["arguments"])
    sampling = SamplingParams(**job["sampling"])
    if job["chat"]:
        chats = [
            [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            for prompt in job["prompts"]
        ]
        outputs = llm.chat(chats, sampling, use_tqdm=False)
    else:
        outputs = llm.generate(job["prompts"], sampling, use_tqdm=False)
    answers = [
        {"prompt": prompt, "answer": o.outputs[0].text, "tokens": len(o.outputs[0].token_ids)}
        for prompt, o in zip(job["prompts"], outputs, strict=True)
    ]
    partial = Path(f"{job['result']}.partial")
    partial.write_text(json.dumps(answers))
    os.replace(partial, job["result"])


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))

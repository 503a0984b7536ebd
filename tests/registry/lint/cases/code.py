"""The Python code that comes with a model."""

from __future__ import annotations

from tests.lint_cases import made, modelslim
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import configure, put

_CODE = {"AutoModelForCausalLM": "modeling_novel.NovelForCausalLM"}
_ELSEWHERE = {"AutoModelForCausalLM": "org/novel--modeling_novel.NovelForCausalLM"}
_TOKENIZER = {"auto_map": {"AutoTokenizer": ["tokenization_novel.NovelTokenizer", None]}}
_MODELING = """
import torch
from transformers import PreTrainedModel
from .configuration_novel import NovelConfig
"""
_OPTIONAL = """
'''It may say

from .elsewhere import Something
'''
try:
    from .fast_novel import attention
except ImportError:
    attention = None
"""

CASES = {
    "remote-code-missing": [
        Case(
            "the model's code was not copied",
            made(modelslim, configure(auto_map=_CODE)),
            made(modelslim, configure(auto_map=_CODE), put("modeling_novel.py", "")),
            where="config.json",
            says="modeling_novel.py",
        ),
        Case(
            "the tokenizer's code was not copied",
            made(modelslim, put("tokenizer_config.json", _TOKENIZER)),
            made(
                modelslim,
                put("tokenizer_config.json", _TOKENIZER),
                put("tokenization_novel.py", ""),
            ),
            where="tokenizer_config.json",
            says="tokenization_novel.py",
        ),
        Case(
            "the code lies in another repository",
            made(modelslim, configure(auto_map=_ELSEWHERE), put("modeling_novel.py", "")),
            made(modelslim, configure(auto_map=_CODE), put("modeling_novel.py", "")),
            "warning",
            "config.json",
            "org/novel",
        ),
        Case(
            "what the model's code imports was not copied",
            made(modelslim, configure(auto_map=_CODE), put("modeling_novel.py", _MODELING)),
            made(
                modelslim,
                configure(auto_map=_CODE),
                put("modeling_novel.py", _MODELING),
                put("configuration_novel.py", ""),
            ),
            where="modeling_novel.py",
            says="configuration_novel.py",
        ),
        Case(
            "what is imported by what it imports",
            made(
                modelslim,
                configure(auto_map=_CODE),
                put("modeling_novel.py", _MODELING),
                put("configuration_novel.py", "from . import sizes, shapes"),
                put("shapes.py", ""),
            ),
            made(
                modelslim,
                configure(auto_map=_CODE),
                put("modeling_novel.py", _MODELING),
                put("configuration_novel.py", "from . import sizes\nfrom .kernels.fast import go"),
                put("sizes/__init__.py", "from ..shapes import SHAPES"),
                put("kernels/fast.py", "from .. import modeling_novel\nfrom ..sizes import SIZE"),
                put("shapes.py", ""),
            ),
            where="configuration_novel.py",
            says="sizes.py",
        ),
        Case(
            "code without which it cannot be imported",
            made(
                modelslim,
                configure(auto_map=_CODE),
                put("modeling_novel.py", "from .fast_novel import attention"),
            ),
            made(modelslim, configure(auto_map=_CODE), put("modeling_novel.py", _OPTIONAL)),
            where="modeling_novel.py",
            says="fast_novel.py",
        ),
    ],
}

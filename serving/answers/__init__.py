"""Asking a server once, whatever kind of model it serves, and judging what comes back.

`ask` sends the request, `judge` looks at the text, `drafts` at speculative decoding, `template`
at what the model's chat template lets one switch.
"""

from serving.answers.ask import Answer, ask
from serving.answers.drafts import Drafts, read_drafts
from serving.answers.judge import NOT_JSON, fault
from serving.answers.template import quiet_switches

__all__ = ["NOT_JSON", "Answer", "Drafts", "ask", "fault", "quiet_switches", "read_drafts"]

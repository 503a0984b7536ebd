"""The environment that tools run in: this process's own, without its secrets.

Quantizers, engines and pip are programs of others, and some of them run code that comes with a
model. None needs the tokens of hubs, the keys of S3 or the password of MLflow that qreg was given.

All else passes, as nobody can list what CANN, HCCL, CUDA, proxies, OpenMP and vLLM's plug-ins look
at. What counts as a secret:

- a name of which a word, between underscores, is or ends in TOKEN, SECRET, PASSWORD, PASSWD, PWD,
  PASSPHRASE, CREDENTIAL, APIKEY, AUTH, JWT or COOKIE, or is PASS; plurals, too. `HF_TOKEN`,
  `AWS_SESSION_TOKEN`, `MLFLOW_TRACKING_PASSWORD`, `SSH_AUTH_SOCK` are such, `PWD` and `OLDPWD` are
  folders, `TOKENIZERS_PARALLELISM` is a word of its own, and where a TOKEN is a number of up to
  nine digits, it is a count or a limit;
- a name with the words API, ACCESS, PRIVATE, SECRET, SIGNING, ENCRYPTION or MASTER before KEY:
  `AWS_ACCESS_KEY_ID`, `OPENAI_API_KEY`;
- a name with the word KEY, PAT, CREDS, SAS, OTP or BEARER by itself, CONNECTION_STRING or WEBHOOK;
- `MLFLOW_TRACKING_USERNAME`;
- a value that begins as known tokens do (`hf_…`, `ghp_…`, `sk-…`), is a private key, or holds a
  signature of an address;
- any value with an address that holds a user or a password, `https://user:password@host`, except
  in variables that name a proxy.

A tool gets a secret only where it needs it, by name: the engine that serves `VLLM_API_KEY`, pip the
addresses of its indexes, LLM-Compressor a hub's token where the user names a data set of a hub. The
user lets others through with QREG_PASS=NAME,NAME .
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

PASS = "QREG_PASS"  # noqa: S105 - the name of a variable that holds names
ENGINE_SECRETS = ("VLLM_API_KEY",)
PIP_SECRETS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")
HUB_SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH")

_WORD = re.compile(
    r"(?:.*(?:TOKEN|SECRET|PASSWORD|PASSWD|PWD|PASSPHRASE|CREDENTIAL|APIKEY|AUTH|JWT|COOKIE)|PASS"
    r"|(?:SSH|DB|FTP|MAIL|SMTP|SUDO)PASS|KEY|PAT|CRED|SAS|OTP|BEARER)S?[0-9]*\Z"
)
_KEY = re.compile(r"(?:.*_)?(?:API|ACCESS|PRIVATE|SECRET|SIGNING|ENCRYPTION|MASTER)_?KEYS?(?:_|\Z)")
_TOKEN = re.compile(r".*TOKENS?\Z")
_COUNT = re.compile(r"-?[0-9]{1,9}\Z")
_NAMES = frozenset({"MLFLOW_TRACKING_USERNAME"})
_HARMLESS = frozenset({"PWD", "OLDPWD"})
_PHRASES = ("CONNECTION_STRING", "WEBHOOK")
_VALUE = re.compile(
    r"(?:hf_|ghp_|gho_|ghs_|github_pat_|glpat-|sk-|xox[abpr]-|AKIA|ms-)[A-Za-z0-9_-]{16,}\Z"
    r"|.*-----BEGIN [A-Z ]*PRIVATE KEY|Authorization:|.*[?&](?:X-Amz-Signature|sig|api_key)=",
    re.DOTALL,
)
_USER_IN_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@]+@")


def tool_environment(environ: Mapping[str, str], needs: Iterable[str] = ()) -> dict[str, str]:
    """What a tool may see of an environment.

    Args:
        environ: of this process; QREG_PASS in it names what the user lets through.
        needs: names of secrets that this tool needs.
    """
    let = {*needs, *(name.strip() for name in environ.get(PASS, "").split(","))}
    return {
        name: value for name, value in environ.items() if name in let or not is_secret(name, value)
    }


def is_secret(name: str, value: str) -> bool:
    """Whether a variable holds what is nobody else's business; see the module's docstring."""
    upper = name.upper()
    if upper in _HARMLESS:
        return False
    telling = [word for word in upper.split("_") if _WORD.match(word)]
    if _COUNT.match(value):
        telling = [word for word in telling if not _TOKEN.match(word)]
    if telling or upper in _NAMES or _KEY.match(upper) or _VALUE.match(value):
        return True
    if any(phrase in upper for phrase in _PHRASES):
        return True
    return not upper.endswith("_PROXY") and _USER_IN_URL.search(value) is not None

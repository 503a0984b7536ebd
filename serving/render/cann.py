"""Shell that sources CANN's scripts where nobody has, as `toolchains.cann` does for a launch."""

from __future__ import annotations

from toolchains.cann import ATB_SCRIPT, SYSTEM, TOOLKIT_SCRIPTS

# The scripts are bash's; what they export comes back in words that every shell reads.
_BASH = """. "$0" >/dev/null 2>&1
for name in PATH LD_LIBRARY_PATH PYTHONPATH TOOLCHAIN_HOME ${!ASCEND@} ${!ATB@} ${!ASDOPS@}; do
  [ -z "${!name:-}" ] || printf "export %s=%q\\n" "$name" "${!name}"
done"""


def cann_lines() -> list[str]:
    """Lines that set CANN's variables where they are not set and CANN is installed."""
    places = [f"{SYSTEM}/{name}" for name in TOOLKIT_SCRIPTS]
    places += [f'"${{HOME:-}}/Ascend/{name}"' for name in TOOLKIT_SCRIPTS]
    atb = f"{SYSTEM}/{ATB_SCRIPT}"
    return [
        "# CANN's own variables, where nobody has sourced its set_env.sh.",
        "cann() {",
        "  # shellcheck disable=SC2016",
        *f'  eval "$(bash -c \'{_BASH}\' "$1")"'.split("\n"),
        "}",
        'if [ -z "${ASCEND_OPP_PATH:-}" ]; then',
        f"  for place in {' '.join(places)}; do",
        '    if [ -r "$place" ]; then cann "$place"; break; fi',
        "  done",
        "fi",
        f'if [ -z "${{ATB_HOME_PATH:-}}" ] && [ -r {atb} ]; then cann {atb}; fi',
    ]

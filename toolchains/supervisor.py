"""Keeps one tool's whole process tree in hand. Runs on its own, with the standard library only:

    python -I supervisor.py REPORT GRACE COMMAND…

Standard input is the lifeline: when it closes, because qreg closed it or died, or on SIGTERM or
SIGINT, the command gets SIGTERM and GRACE seconds; what it leaves behind ends, too. It is a child
subreaper (Linux): orphans of the tool become its children and end with it. At the end REPORT holds
`{"code": exit code, negative for a signal, "peak_rss": bytes of the largest process, "pid"}`.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time

_ORPHANS_GRACE = 2.0  # seconds for what the tool left behind
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _descendants() -> "list[int]":
    """All processes below this one, from /proc."""
    children: "dict[int, list[int]]" = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
                if fields[0] != "Z":
                    children.setdefault(int(fields[1]), []).append(int(entry))
    found, frontier = [], [os.getpid()]
    while frontier:
        frontier = [pid for parent in frontier for pid in children.get(parent, [])]
        found += frontier
    return found


def _signal_all(number: int) -> bool:
    pids = _descendants() if os.path.isdir("/proc/self") else []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(pids)


def _reap(child: "subprocess.Popen[bytes]") -> None:
    """Bury adopted orphans; the tool itself is waited for by its own object."""
    if child.poll() is not None:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _end_tree(child: "subprocess.Popen[bytes]", grace: float) -> None:
    """SIGTERM to the tool, then to what it leaves behind, then SIGKILL to what still lives."""
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace)
    _signal_all(signal.SIGTERM)
    deadline = time.monotonic() + min(grace, _ORPHANS_GRACE)
    while _descendants() and time.monotonic() < deadline:
        time.sleep(0.02)
        _reap(child)
    while _signal_all(signal.SIGKILL):
        time.sleep(0.02)
        _reap(child)
    child.wait()


def main(report: str, grace: float, command: "list[str]") -> None:
    parent = os.getppid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    stop = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.append(1))
    signal.signal(signal.SIGCHLD, lambda *_: None)

    def before_exec() -> None:
        # If even this supervisor is killed, the tool is told to end.
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, preexec_fn=before_exec, start_new_session=True
        )
    except OSError as error:
        print(f"{command[0]}: {error}", file=sys.stderr)
        _report(report, {"code": 127, "peak_rss": 0, "pid": 0})
        return
    _report(report, {"pid": child.pid})
    while child.poll() is None and not stop:
        ready, _, _ = select.select([sys.stdin, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
        if sys.stdin in ready and not os.read(sys.stdin.fileno(), 1):
            break
    _end_tree(child, grace)
    if os.getppid() != parent:  # nobody is left to read the report
        shutil.rmtree(os.path.dirname(report), ignore_errors=True)
        return
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    _report(
        report,
        {"code": child.returncode, "peak_rss": usage.ru_maxrss * 1024, "pid": child.pid},
    )


def _report(path: str, content: "dict[str, int]") -> None:
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(f"{path}.new", path)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3:])

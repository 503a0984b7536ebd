"""The house: arrows one way, and nothing below the command line prints, exits or reads argv."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Each package may import itself and those to its right.
ORDER = ("qreg", "serving", "quantizers", "toolchains", "registry")
ALLOWED = {
    "qreg": set(ORDER),
    "serving": {"serving", "toolchains", "registry"},
    "quantizers": {"quantizers", "toolchains", "registry"},
    "toolchains": {"toolchains", "registry"},
    "registry": {"registry"},
}
# Scripts that run inside toolchains, or by hand: they are programs of their own.
PROGRAMS = {
    "qreg/demo/train.py",
    "toolchains/supervisor.py",
    "toolchains/locks/compile.py",
    "toolchains/locks/hashes.py",
    "toolchains/locks/sbom.py",
    "serving/releases/generate/__main__.py",
    *(str(p.relative_to(ROOT)) for p in ROOT.glob("*/workers/*.py")),
}
MODULES = sorted(
    path for package in ORDER for path in (ROOT / package).rglob("*.py") if path.is_file()
)


def _imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_point_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    imported = {name.partition(".")[0] for name in _imports(ast.parse(path.read_text()))}
    assert imported & set(ORDER) <= ALLOWED[package]


def test_no_cycles_between_modules_of_a_package() -> None:
    """Imports at the top of modules form no cycle."""
    names = {_dotted(path): path for path in MODULES}
    graph = {}
    for name, path in names.items():
        top = ast.Module(list(ast.parse(path.read_text()).body), [])
        direct = [n for n in top.body if isinstance(n, ast.Import | ast.ImportFrom)]
        graph[name] = {i for i in _imports(ast.Module(direct, [])) if i in names and i != name}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail, name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_command_line_prints_exits_or_reads_argv(path: Path) -> None:
    relative = str(path.relative_to(ROOT))
    if relative.startswith("qreg/cli/") or relative in PROGRAMS:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "exit", "quit"), f"{relative}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in (("sys", "exit"), ("sys", "argv"))


def test_modules_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in MODULES
        if (count := len(path.read_text().splitlines())) > 320
    }
    assert not long


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

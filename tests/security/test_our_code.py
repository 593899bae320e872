"""What must no module of ours do? Unpickle, evaluate, start a shell, trust a certificate blindly; read from the source.

A pickle is a program. Prefect's results are pickles unless told otherwise, so no task of ours stores one.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

try:
    from re import _parser as sre  # type: ignore[attr-defined]
except ImportError:  # pragma: no cover  # Python before 3.11
    import sre_parse as sre

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("data", "qiskit_solvers", "tasks", "flows", "deployments")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

RUN_WHAT_THEY_READ = {
    "pickle",
    "cPickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "jsonpickle",
}
BY_SHELL = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"}
NAMES_ALLOWED = {("pickle", "UnpicklingError")}
"""What torch's restricted reader raises."""


@cache
def trees() -> dict[str, ast.Module]:
    """Return every module of ours, parsed."""
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


@cache
def calls(tree: ast.AST) -> tuple[tuple[str, ast.Call], ...]:
    """Return every call with its dotted name."""
    return tuple((ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def given(call: ast.Call, name: str) -> object:
    """Return the constant that a call gives for an argument; None where it gives none."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else ast.unparse(keyword.value)
    return None


def wrong(tree: ast.Module) -> list[str]:
    """Return what must not stand in a module."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        found += [
            f"imports {module}.{name}"
            for module, name in names
            if module.split(".")[0] in RUN_WHAT_THEY_READ and (module, name) not in NAMES_ALLOWED
        ]
    for name, call in calls(tree):
        last = name.rpartition(".")[2]
        if name in BY_SHELL or name.removeprefix("builtins.") in {"eval", "exec", "compile", "__import__"}:
            found.append(f"calls {name}")
        elif given(call, "shell") not in (None, False):
            found.append(f"{name} with a shell")
        elif name in {"torch.load", "load_state"} and given(call, "weights_only") is not True:
            found.append(f"{name} without weights_only")
        elif last == "load" and name.split(".")[0] in {"np", "numpy"} and given(call, "allow_pickle") is not False:
            found.append(f"{name} that may unpickle")
        elif last in {"unsafe_load", "full_load", "unsafe_load_all", "full_load_all"}:
            found.append(f"calls {name}")
        elif name in {"yaml.load", "yaml.load_all"} and "Loader" not in {each.arg for each in call.keywords}:
            found.append(f"{name} without a loader")
        elif given(call, "verify") is False or "_create_unverified_context" in name:
            found.append(f"{name} trusts any certificate")
        elif name in {"tempfile.mktemp", "os.tempnam"}:
            found.append(f"{name} names a file that another may make first")
        elif last == "extractall" or name == "shutil.unpack_archive":
            found.append(f"{name} writes wherever an archive says")
        elif last in {"fromstring", "parse"} and re.search(r"\b(ElementTree|ET|minidom|lxml|etree)\b", name):
            found.append(f"{name} lets XML define entities")
    return found


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from pickle import loads", "import marshal", "import shelve", "eval('1')", "exec('1')",
        "import os\nos.system('x')", "import subprocess\nsubprocess.run('x', shell=True)", "yaml.unsafe_load(x)",
        "yaml.load(x)", "torch.load(x)", "torch.load(x, weights_only=False)", "np.load(x)", "__import__('x')",
        "np.load(x, allow_pickle=True)", "httpx.get(u, verify=False)", "tempfile.mktemp()", "z.extractall(p)",
        "import xml.etree.ElementTree as ET\nET.fromstring(x)", "from cloudpickle import dumps",
    ],
)  # fmt: skip
def test_what_is_looked_for_is_found(text):
    assert wrong(ast.parse(text))


def test_every_module_is_looked_at():
    assert len(MODULES) > 200


def test_no_module_runs_what_it_reads():
    found = {path: wrong(tree) for path, tree in trees().items()}
    assert {path: what for path, what in found.items() if what} == {}


def test_loaders_of_yaml_build_nothing_but_plain_values():
    """Where a loader is chosen, it is the base one or the safe one."""
    for path, tree in trees().items():
        for name, call in calls(tree):
            if name in {"yaml.load", "yaml.load_all", "yaml.parse"}:
                assert given(call, "Loader") == "loader", path
                chosen = [
                    ast.unparse(node.value)
                    for node in ast.walk(tree)
                    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "loader"
                ]
                allowed = r"getattr\(yaml, 'C(Base|Safe)Loader', yaml\.(Base|Safe)Loader\)"
                assert chosen, path
                assert all(re.fullmatch(allowed, each) for each in chosen), (path, chosen)


def test_no_result_of_a_task_or_flow_is_stored_as_a_pickle():
    """A task stores nothing (NO_CACHE), or says that it stores JSON."""
    seen = 0
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for decorator in node.decorator_list:
                name = ast.unparse(decorator.func) if isinstance(decorator, ast.Call) else ast.unparse(decorator)
                if name not in {"task", "flow", "prefect.task", "prefect.flow"}:
                    continue
                seen += 1
                where = f"{path}: {node.name}"
                assert isinstance(decorator, ast.Call), f"{where}: a bare @{name} stores what settings say"
                stores = given(decorator, "persist_result") is True
                if name == "task":
                    stores = stores or given(decorator, "cache_policy") != "NO_CACHE"
                assert not stores or given(decorator, "result_serializer") == "json", f"{where}: may store a pickle"
    assert seen > 15


def patterns() -> list[tuple[str, str]]:
    """Return the regular expressions of all modules, where they are written as constants."""
    found = []
    for path, tree in trees().items():
        for name, call in calls(tree):
            if re.fullmatch(r"re\.(compile|match|search|fullmatch|sub|split|findall|finditer)", name) and call.args:
                first = call.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.append((f"{path}: {first.value}", first.value))
    return found


def nested(parsed: object, inside: bool = False) -> bool:
    """Say whether something that repeats without end stands inside something that does, with nothing fixed between."""
    for operation, argument in parsed:  # type: ignore[attr-defined]
        kind = str(operation)
        if kind in {"MAX_REPEAT", "MIN_REPEAT"}:
            _, most, body = argument
            endless = most == sre.MAXREPEAT
            if endless and inside:
                return True
            alone = len(body) == 1 or all(str(each) in {"MAX_REPEAT", "MIN_REPEAT"} for each, _ in body)
            if nested(body, inside or (endless and alone)):
                return True
        elif kind == "SUBPATTERN":
            if nested(argument[-1], inside):
                return True
        elif kind == "BRANCH" and any(nested(branch, inside) for branch in argument[1]):
            return True
    return False


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(?:\w*)*x", r"((ab|\d+))+", r"(?:(?:x+)*y)?"])
def test_the_walk_finds_repeats_in_repeats(pattern):
    assert nested(sre.parse(pattern))


@pytest.mark.parametrize("pattern", [r"a+b+", r"(\d+),", r"(?:,\d+)*$", r"(?:a|b)+"])
def test_the_walk_leaves_sound_patterns_alone(pattern):
    assert not nested(sre.parse(pattern))


def test_no_pattern_takes_exponential_time():
    found = patterns()
    assert len(found) > 40
    assert [where for where, pattern in found if nested(sre.parse(pattern))] == []


def test_nobody_writes_tables_that_a_spreadsheet_would_calculate():
    """Words from outside reach no CSV file: ours are JSON and HTML, and one generator writes numbers of its own."""
    writers = [
        path
        for path, tree in trees().items()
        for name, _ in calls(tree)
        if name in {"csv.writer", "csv.DictWriter"} or name.endswith(".to_csv")
    ]
    assert writers == ["data/generators/scaling.py"]

"""What is public is listed, and importing it stays cheap."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import qiskit_solvers

HEAVY = ("qiskit", "qiskit_aer", "qiskit_optimization", "dimod", "dwave", "prefect")


def test_all_lists_what_the_package_offers():
    public = {
        name
        for name, value in vars(qiskit_solvers).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert sorted(public) == qiskit_solvers.__all__


def test_every_solver_and_error_is_listed():
    offered = set()
    for module_info in pkgutil.iter_modules(qiskit_solvers.__path__, "qiskit_solvers."):
        module = importlib.import_module(module_info.name)
        for name, value in inspect.getmembers(module, inspect.isclass):
            ours = value.__module__ == module.__name__ and not name.startswith("_")
            if ours and (hasattr(value, "kind") or issubclass(value, Exception)):
                offered.add(name)
    assert {"Exact", "Anneal", "Qaoa", "TooLarge", "SolverFailed"} <= offered <= set(qiskit_solvers.__all__)


def test_importing_the_package_imports_no_simulator():
    script = "import sys, qiskit_solvers; print(*{name.split('.')[0] for name in sys.modules})"
    root = Path(qiskit_solvers.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    listed = run.stdout.split()
    assert "numpy" in listed
    assert not set(HEAVY) & set(listed)

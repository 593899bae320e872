"""What are we made of, and which of it has known holes? An inventory (SBOM) as CycloneDX, and a question to advisories.

``python -m deployments.inventory --output sbom.json`` writes the inventory of what is installed and asks the advisory
service about every version in ``constraints.txt``. Exit codes: 0 nothing is known, 1 advisories were found, 2 the
inventory could not be written, 3 the service could not be asked, so that nobody knows.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.whole_file import whole_file

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
FOUND, NOT_WRITTEN, NOT_ASKED = 1, 2, 3
SECONDS = 900.0


class InventoryFailed(Exception):
    """The inventory could not be made; the message says what the tool said."""


@dataclass(frozen=True, slots=True)
class Advisory:
    """A known hole of a version that we use."""

    package: str
    version: str
    id: str
    mended_in: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """What the advisory service said.

    Args:
        asked: packages that it answered for.
        advisories: what it knows of them.
        unknown: packages that it did not know, or did not answer for, with the reason.
        why: why it could not be asked at all; empty where it could.
    """

    asked: int
    advisories: tuple[Advisory, ...] = ()
    unknown: tuple[str, ...] = ()
    why: str = ""


def inventory(requirements: Path | None = None) -> bytes:
    """Return the inventory as CycloneDX JSON: of this environment, or of what a file of requirements pins.

    Raises:
        InventoryFailed: the tool is not installed or failed.
    """
    of = ["environment", sys.executable] if requirements is None else ["requirements", str(requirements)]
    project = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--of", "JSON", "--no-validate"]
    done = _run("cyclonedx_py", *of, *project)
    try:
        document = json.loads(done.stdout)
        named = [part["name"] for part in document["components"]]
    except (ValueError, LookupError, TypeError) as error:
        raise InventoryFailed(f"cyclonedx-py ended with {done.returncode}: {_last(done.stderr)}") from error
    if done.returncode or not named:
        raise InventoryFailed(f"cyclonedx-py ended with {done.returncode}: {_last(done.stderr)}")
    return done.stdout.encode()


def audit(requirements: Path, service: Sequence[str] = ()) -> Audit:
    """Ask the advisory service about what a file of requirements pins.

    Args:
        requirements: one pinned version in each line.
        service: options of pip-audit that choose it; PyPI's without any.
    """
    options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    done = _run("pip_audit", "--requirement", str(requirements), *options, *service)
    try:
        answers: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, LookupError, TypeError):
        return Audit(0, why=_last(done.stderr) or f"pip-audit ended with {done.returncode}")
    known = [each for each in answers if "vulns" in each]
    # where PyPI cannot be reached behind a mirror, pip-audit skips every package and reports success
    unknown = tuple(str(each.get("skip_reason", each.get("name"))) for each in answers if "vulns" not in each)
    advisories = tuple(
        Advisory(each["name"], each["version"], one["id"], tuple(one.get("fix_versions", ())))
        for each in known
        for one in each["vulns"]
    )
    return Audit(len(known), advisories, unknown, "" if known else "the service answered for no package")


def told(found: Audit) -> str:
    """Return what an audit found, in lines for a log or a summary."""
    if found.why:
        return f"Advisories could not be asked for, so nothing is known of holes: {found.why}"
    lines = [f"{found.asked} packages asked for, {len(found.advisories)} advisories, {len(found.unknown)} not known."]
    lines += [
        f"  {each.package} {each.version}: {each.id}, mended in {', '.join(each.mended_in) or 'no version'}"
        for each in found.advisories
    ]
    lines += [f"  not known: {each}" for each in found.unknown[:20]]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the inventory and ask for advisories; see the module for the exit codes."""
    parser = argparse.ArgumentParser(prog="python -m deployments.inventory", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("sbom.json"), help="where the inventory goes")
    parser.add_argument("--requirements", type=Path, help="inventory and audit of this file, not of what is installed")
    parser.add_argument("--offline", action="store_true", help="write the inventory only")
    parser.add_argument("--osv-url", help="ask a service that speaks OSV here, e.g. a mirror")
    given = parser.parse_args(arguments)
    try:
        content = inventory(given.requirements)
        with whole_file(given.output) as file:
            file.write(content)
    except (InventoryFailed, OSError) as error:
        sys.stderr.write(f"{given.output}: the inventory could not be written: {error}\n")
        return NOT_WRITTEN
    sys.stdout.write(f"{given.output}: {len(json.loads(content)['components'])} components\n")
    if given.offline:
        return 0
    service = ["--vulnerability-service", "osv", "--osv-url", given.osv_url] if given.osv_url else []
    found = audit(given.requirements or CONSTRAINTS, service)
    sys.stdout.write(told(found) + "\n")
    return NOT_ASKED if found.why else FOUND if found.advisories else 0


def _run(module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", module, *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603  # our own interpreter
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {error.timeout:g} s")


def _last(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


if __name__ == "__main__":
    raise SystemExit(main())

"""Does worker.Dockerfile copy what exists and all that runs need, pin what it builds on, and leave root behind?"""

import re
import tomllib
from pathlib import Path

import yaml

from flows.catalogue import entries

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deployments/worker.Dockerfile").read_text(encoding="utf-8")
COPIED = [word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M) for word in line.split()]


def test_what_is_copied_exists_and_travels_to_the_build():
    ignored = (ROOT / "deployments/worker.Dockerfile.dockerignore").read_text(encoding="utf-8").split("\n")
    assert ignored[1] == "*"
    for path in COPIED:
        assert (ROOT / path).exists(), path
        assert f"!{path}" in ignored, path
    assert "deployments/secrets" in ignored[ignored.index("!deployments") :]


def test_every_package_and_every_file_that_a_deployment_names_is_in_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in packages} <= set(COPIED)
    text = yaml.safe_dump([entry["parameters"] for entry in entries()])
    for path in re.findall(r"(?:data|tests)/[\w./-]+", text):
        assert any(path == copied or path.startswith(f"{copied}/") for copied in COPIED), path


def test_bases_are_pinned_and_equal():
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])


def test_packages_are_those_that_were_tested():
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (torch,) = set(re.findall(r"torch==(\S+)", DOCKERFILE))
    assert pins.get("torch", torch) == torch
    assert f"torch=={torch}" in makefile
    assert "--constraint constraints.txt --editable" in DOCKERFILE


def test_nobody_in_it_is_root():
    last = DOCKERFILE[DOCKERFILE.rindex("FROM ") :]
    assert re.findall(r"^USER (.*)$", last, re.M) == ["10001:10001"]
    assert not re.search(r"^(ADD|EXPOSE 22)|sudo|chmod 777|curl .*\|", DOCKERFILE, re.M)
    assert not re.search(r"^(ENV|ARG).*(PASSWORD|AUTH_STRING|TOKEN)", DOCKERFILE, re.M)

"""Do the pages of the three ways to run name what exists: files, targets, commands, settings?"""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deployments"
NAMES = ("README.md", "LAPTOP.md", "SERVER.md", "COMPOSE.md", "KUBERNETES.md")
PAGES = {name: (FOLDER / name).read_text(encoding="utf-8") for name in NAMES}
TWO_SCREENS = 130


def commands(begin):
    """Yield every command of the pages and units that begins so, with the file that it is from."""
    texts = {
        **PAGES,
        **{path.name: path.read_text(encoding="utf-8") for path in (FOLDER / "systemd").glob("*.service")},
    }
    for name, text in texts.items():
        lines = (
            re.findall(r"^    (.*)$", text, re.M)
            + re.findall(r"`([^`\n]+)`", text)
            + re.findall(r"^Exec\w+=(.*)$", text, re.M)
        )
        for line in lines:
            for part in re.split(r" (?:&&|\|\||;|\|) ", line):
                plain = re.sub(r"^([A-Z_]+=\S* )*(/opt/quantumflow/)?(\.venv/bin/)?", "", part.strip())
                if plain.startswith(f"{begin} "):
                    yield name, plain


@pytest.mark.parametrize("name", NAMES)
def test_each_link_leads_somewhere(name):
    for path in re.findall(r"\]\(((?!https?:)[^)#]+)", PAGES[name]):
        assert (FOLDER / path).exists(), path


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_short(name):
    assert len(PAGES[name].splitlines()) <= TWO_SCREENS
    assert max(map(len, PAGES[name].splitlines())) < 260


@pytest.mark.parametrize("command", sorted(set(commands("prefect"))), ids=str)
def test_prefect_has_each_command_with_its_options(command):
    from prefect.cli._app import _app

    words = [word for word in shlex.split(command[1], comments=True)[1:] if word != "--no-prompt"]
    _app.parse_args(words, exit_on_error=False, print_error=False)


def test_an_option_that_prefect_lacks_would_be_found():
    from cyclopts import CycloptsError
    from prefect.cli._app import _app

    with pytest.raises(CycloptsError, match="no-service"):
        _app.parse_args(["server", "start", "--no-service"], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("command", sorted(set(commands("make"))), ids=str)
def test_each_target_exists(command):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert command[1].split()[1] in targets


@pytest.mark.parametrize("command", sorted(set(commands("python"))), ids=str)
def test_each_module_has_its_options(command, capsys):
    words = shlex.split(command[1], comments=True)
    module, arguments = words[2], words[3:]
    assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file() or (ROOT / module / "__main__.py").is_file()
    if module == "flows":
        from typer.testing import CliRunner

        from flows.commands import app

        names = [word for word in arguments[:2] if re.fullmatch(r"[a-z]+", word)]
        told = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200"}).output
        assert "Usage" in told
        assert all(word in re.sub(r"\x1b\[[0-9;]*m", "", told) for word in arguments if word.startswith("--"))
        return
    from importlib import import_module

    with pytest.raises(SystemExit) as ended:
        import_module(module).main([*[word for word in arguments[:1] if word in ("dump", "restore")], "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert all(word in told for word in arguments if word.startswith("--"))


def test_every_setting_of_the_table_is_known():
    known = "".join(path.read_text(encoding="utf-8") for path in [*FOLDER.glob("*.env"), *FOLDER.glob("*.py")])
    for name in re.findall(r"QUANTUMFLOW_[A-Z]+|PREFECT_[A-Z_]+", PAGES["README.md"]):
        if name.startswith("QUANTUMFLOW_"):
            assert name in known
        else:
            from prefect.settings import Settings

            assert name in {*_names(Settings)}, name


def _names(model, prefix="PREFECT"):
    for name, field in model.model_fields.items():
        yield f"{prefix}_{name}".upper()
        if hasattr(field.annotation, "model_fields"):
            yield from _names(field.annotation, f"{prefix}_{name}".upper())


def test_what_the_backup_table_promises_stands_in_the_units():
    timer = (FOLDER / "systemd/quantumflow-backup.timer").read_text(encoding="utf-8")
    service = (FOLDER / "systemd/quantumflow-backup.service").read_text(encoding="utf-8")
    assert "01:10" in PAGES["SERVER.md"]
    assert "OnCalendar=*-*-* 01:10:00" in timer
    assert "keeps\n14" in PAGES["SERVER.md"]
    assert "/var/lib/quantumflow/backups" in PAGES["SERVER.md"]
    assert "dump /var/lib/quantumflow/backups --keep 14" in service

"""Facts about the programs that executors start: which are allowed, what they are told, and that none hangs."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from data.errors import ApplyFailed, SourceUnavailable
from data.schemas.checkpoint import Archive
from data.schemas.job import Worker
from data.schemas.plan import Action, Compress, Migrate, Recap
from tasks.apply.executor import Found
from tasks.apply.hooks import FOLDERS, allowed, call
from tasks.apply.program import run
from tasks.apply.shell import ShellExecutor

RECAP = Recap("12", None, 300.0, "a cap binds", 1.0)
MOVE = Migrate("12", (Worker("a", (0,)),), (Worker("b", (0,)),), 0, "closer; $(reboot)", 1.0)


@pytest.fixture
def hooks(tmp_path, monkeypatch):
    """A folder of hooks, and a function that writes one."""
    folder = tmp_path / "hooks"
    folder.mkdir(mode=0o755)
    monkeypatch.setenv(FOLDERS, str(folder))

    def write(text, name="hook", mode=0o755):
        path = folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(mode)
        return path

    return write


def test_a_hook_in_a_listed_folder_is_called_with_its_words_and_nothing_of_them_reaches_a_shell(hooks):
    hook = hooks('printf "%s|" "$@"')
    assert call(hook, "set", "$(reboot); `id`", "two words", timeout_s=10) == "set|$(reboot); `id`|two words|"


def test_without_a_list_no_hook_is_allowed(hooks, monkeypatch):
    hook = hooks("")
    monkeypatch.delenv(FOLDERS)
    with pytest.raises(ApplyFailed, match=FOLDERS):
        allowed(hook)


def test_a_hook_elsewhere_is_refused_even_through_a_link_or_dots(hooks, tmp_path):
    inside = hooks("")
    outside = tmp_path / "evil"
    outside.write_text("#!/bin/bash\n")
    outside.chmod(0o755)
    link = inside.with_name("link")
    link.symlink_to(outside)
    for path in (outside, link, inside.parent / ".." / "evil"):
        with pytest.raises(ApplyFailed, match="expected a program in"):
            allowed(path)
    with pytest.raises(ApplyFailed, match="absolute"):
        allowed(inside.relative_to(inside.root))
    with pytest.raises(ApplyFailed, match="No such file"):
        allowed(inside.with_name("missing"))


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o644], ids=oct)
def test_a_hook_that_others_may_change_or_that_is_no_program_is_refused(hooks, mode):
    with pytest.raises(ApplyFailed, match="expected"):
        allowed(hooks("", mode=mode))


def test_a_hook_in_a_folder_where_others_may_replace_it_is_refused(hooks):
    hook = hooks("")
    hook.parent.chmod(0o777)
    with pytest.raises(ApplyFailed, match="may be changed by others"):
        allowed(hook)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_hook_of_another_user_is_refused(hooks):
    hook = hooks("")
    os.chown(hook, 1234, 0)
    with pytest.raises(ApplyFailed, match="belongs to user 1234"):
        allowed(hook)


def test_a_failing_hook_tells_its_exit_code_and_its_last_words(hooks):
    with pytest.raises(ApplyFailed, match="exit code 3: no such GPU"):
        call(hooks("echo first >&2; echo no such GPU >&2; exit 3"), "look", timeout_s=10)
    with pytest.raises(SourceUnavailable, match="exit code 75"):
        call(hooks("exit 75"), "look", timeout_s=10)


def test_a_hook_sees_no_secrets_of_this_process(hooks, monkeypatch):
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:secret")
    monkeypatch.setenv("SQUEUE_PARTITION", "hidden")
    told = call(hooks("env"), timeout_s=10)
    assert "secret" not in told
    assert "SQUEUE" not in told
    assert "LC_ALL=C\n" in told


def test_a_program_that_hangs_is_killed_with_what_it_started(tmp_path):
    alive = tmp_path / "alive"
    script = f"(sleep 1.2; touch {alive}) & sleep 60"
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"no end within 0\.3 s"):
        run(["bash", "-c", script], timeout_s=0.3)
    assert time.monotonic() - began < 30
    time.sleep(1.5)
    assert not alive.exists()


def test_a_program_ends_with_the_killed_process_that_started_it(tmp_path):
    """Else a hook could finish its step after a resumed apply has undone it."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\necho $$ > {begun}\nread line < {tmp_path}/never\ntouch {ended}\n")
    hook.chmod(0o755)
    os.mkfifo(tmp_path / "never")
    code = f"from tasks.apply.program import run; run([{str(hook)!r}], timeout_s=600)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[3])
    while not begun.exists() or not begun.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    words = Path(f"/proc/{begun.read_text().strip()}/cmdline")  # empty of one that ended and was not waited for

    def alive():
        try:
            return bool(words.read_bytes())
        except OSError:
            return False

    end = time.monotonic() + 30.0
    while alive():
        assert time.monotonic() < end, "the hook outlived its apply"
        time.sleep(0.05)
    assert not ended.exists()


def test_a_program_that_leaves_one_behind_is_not_waited_for():
    assert run(["bash", "-c", "sleep 60 & echo $!"], timeout_s=30).code == 0


def test_a_program_that_is_missing_or_prints_too_much_says_so():
    with pytest.raises(SourceUnavailable, match="not installed"):
        run(["no-such-program"], timeout_s=1)
    with pytest.raises(ApplyFailed, match="printed 4096 bytes, expected at most 100"):
        run(["head", "-c", "4096", "/dev/zero"], timeout_s=10, most_bytes=100)


def test_steps_reach_the_hook_of_their_kind_as_json(hooks, tmp_path):
    told = tmp_path / "told"
    hook = hooks(f'echo "$1" >>{told}; cat >>{told}; echo >>{told}')
    executor = ShellExecutor(migrate=hook, recap=hook, taken_s=1_800_000_000, folder=tmp_path)
    executor.carry_out([MOVE, MOVE])
    executor.carry_out([RECAP])
    lines = told.read_text().splitlines()
    assert lines[0::2] == ["carry-out", "carry-out"]
    moved, capped = map(json.loads, lines[1::2])
    assert (moved["version"], moved["taken_s"], moved["folder"]) == (1, 1_800_000_000, str(tmp_path))
    assert [action["kind"] for action in moved["actions"]] == ["migrate", "migrate"]
    assert moved["actions"][0]["after"] == [{"node": "b", "gpus": [0]}]
    assert capped["actions"][0]["after"] == 300.0


def test_what_a_hook_sees_is_told_in_order(hooks):
    answer = {"found": [{"standing": "before", "detail": "on a\x1b[31m"}, {"standing": "gone", "detail": ""}]}
    hook = hooks(f"cat >/dev/null; echo '{json.dumps(answer)}'")
    found = ShellExecutor(migrate=hook).look([MOVE, MOVE])
    assert found == (Found("before", "on a\ufffd[31m"), Found("gone", ""))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("nonsense", "JSON"),
        ("{}", "found"),
        ('{"found": []}', "expected 1 entries in found, found 0"),
        ('{"found": [{"standing": "perhaps", "detail": ""}]}', "found.0.standing"),
        ("[" * 100_000, "JSON"),
    ],
    ids=["no JSON", "nothing", "too few", "unknown standing", "deep"],
)
def test_an_answer_that_is_none_names_the_hook_and_the_field(hooks, answer, message):
    hook = hooks("cat >/dev/null; cat $0.answer")
    hook.with_name("hook.answer").write_text(answer)
    found = ShellExecutor(migrate=hook).look([MOVE])
    assert [each.standing for each in found] == ["other"]
    assert str(hook) in found[0].detail
    assert message in found[0].detail


def test_a_kind_without_a_hook_is_refused():
    assert ShellExecutor().look([RECAP]) == (Found("other", "recap: expected a hook for such actions, found none"),)
    with pytest.raises(ApplyFailed, match="migrate: expected a hook"):
        ShellExecutor().carry_out([MOVE])


def test_an_archive_is_in_force_only_with_the_digest_that_the_plan_names(tmp_path):
    (tmp_path / "step.qf").write_bytes(b"archive")
    right = hashlib.sha256(b"archive").hexdigest()

    def found(path, sha256, folder=tmp_path):
        action = Compress("step", None, Archive(path, sha256, 7), "smaller", 1.0)
        return ShellExecutor(folder=folder).look([action])[0], action

    seen, action = found("step.qf", right)
    assert seen.standing == "after"
    ShellExecutor(folder=tmp_path).carry_out([action])
    for path, digest, message in (
        ("step.qf", "0" * 64, "expected 000"),
        ("missing.qf", right, "cannot be read"),
        ("../step.qf", right, "outside"),
        ("/etc/passwd", right, "outside"),
    ):
        seen, action = found(path, digest)
        assert seen.standing == "other"
        assert message in seen.detail
        with pytest.raises(ApplyFailed, match="checkpoint step"):
            ShellExecutor(folder=tmp_path).carry_out([action])
    assert "unknown" in found("step.qf", right, None)[0].detail


def test_the_page_shows_what_a_hook_is_really_told_and_may_answer(hooks, tmp_path):
    page = (Path(__file__).resolve().parents[3] / "deployments" / "EXECUTORS.md").read_text(encoding="utf-8")
    given, answer = (
        json.loads(text) for text in re.findall(r"^    (\{\"(?:version|found).*?\]\})$", page, re.M | re.S)
    )
    actions = TypeAdapter(tuple[Action, ...]).validate_json(json.dumps(given["actions"]))
    hook = hooks(f"cat >{tmp_path}/told; echo '{json.dumps(answer)}'")
    executor = ShellExecutor(recap=hook, taken_s=given["taken_s"], folder=Path(given["folder"]))
    assert executor.look(actions) == (Found("before", "no cap"),)
    told = json.loads((tmp_path / "told").read_text())
    assert told["actions"][0].pop("kind") == given["actions"][0].pop("kind") == "recap"
    assert told == given

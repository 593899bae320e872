"""What stands on the Slurm cluster of tests before a plan is made, and what sets the caps of its GPUs there."""

import shutil
from collections.abc import Callable
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "deployments" / "examples" / "set_cap.sh"
RACKS = {"gb1": "rack1", "gb2": "rack1", "gb3": "rack2", "gb4": "rack2"}
NVIDIA_SMI = """\
#!/bin/bash
# keeps the limit of each GPU of each node in a file; the greatest is 1200 W
device="$2"
for gpu in ${device//,/ }; do
  file="{folder}/$SLURMD_NODENAME.$gpu"
  case "$3" in
    -pl) echo "$4" >"$file" ;;
    --query-gpu=power.limit,power.max_limit) echo "$(cat "$file" 2>/dev/null || echo 1200), 1200" ;;
    --query-gpu=power.max_limit) echo 1200 ;;
    *) exit 9 ;;
  esac
done
"""


def write_hook(programs: Path, caps: Path) -> Path:
    """Put the hook that ships as an example into ``programs``, with an nvidia-smi that keeps watts in ``caps``."""
    for folder in (programs, caps):
        folder.mkdir()
    (programs / "nvidia-smi").write_text(NVIDIA_SMI.replace("{folder}", str(caps)))
    hook = programs / "set_cap"
    shutil.copy(EXAMPLE, hook)
    for program in programs.iterdir():
        program.chmod(0o755)
    return hook


def interleaved(slurm, until: Callable[..., None]) -> tuple[str, str, str]:
    """Start two gangs that each stand across both racks, and a job that waits for a licence; return their ids."""

    def start(*options: str) -> str:
        number = str(slurm.submit("--nodes=2", "--time=60", "--requeue", *options))
        until(lambda: slurm.where().get(number, ("",))[0] == "RUNNING")
        return number

    blocker = start("--gres=gpu:gb200:4", "--nodelist=gb[1,3]")
    first = start("--gres=gpu:gb200:3")
    slurm.run("scancel", blocker)
    second = start("--gres=gpu:gb200:3")
    slurm.submit("--nodes=1", "--time=60", "--licenses=solver")  # the only one, for a job without GPUs
    waiting = slurm.submit("--nodes=1", "--time=60", "--requeue", "--gres=gpu:gb200:1", "--licenses=solver")
    return first, second, waiting


def fragmented(slurm, until: Callable[..., None]) -> tuple[str, str, str, str]:
    """Fill the cluster so that a job which needs a whole node waits, though the free GPUs would do; return their ids.

    A gang on gb1 and gb3, of two racks; two jobs of two GPUs, one on gb2, one on gb4; and the one that waits.
    """

    def start(*options: str) -> str:
        number = str(slurm.submit("--time=60", "--requeue", *options))
        until(lambda: slurm.where().get(number, ("",))[0] == "RUNNING")
        return number

    def stop(number: str) -> None:
        slurm.run("scancel", number)
        until(lambda: number not in slurm.where())

    blocker = start("--nodes=2", "--gres=gpu:gb200:4", "--nodelist=gb[2,4]")
    torn = start("--nodes=2", "--gres=gpu:gb200:4")
    stop(blocker)
    first = start("--nodes=1", "--gres=gpu:gb200:2")
    beside = start("--nodes=1", "--gres=gpu:gb200:2", f"--nodelist={slurm.where()[first][1]}")
    second = start("--nodes=1", "--gres=gpu:gb200:2")
    stop(beside)
    waiting = str(slurm.submit("--nodes=1", "--time=60", "--requeue", "--gres=gpu:gb200:4"))
    return torn, first, second, waiting

"""The command line: ``python -m flows``."""

from flows.environment import prepare

prepare()  # before anything imports Prefect, which reads its settings once

from flows.commands import app  # noqa: E402

if __name__ == "__main__":
    app(prog_name="python -m flows")

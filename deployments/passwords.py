"""Where do the passwords of a server come from? ``python -m deployments.passwords FOLDER`` draws them once.

The server's file holds what only the server may know; the worker's holds the API's password alone, since every run
can read its worker's environment.
"""

import argparse
import os
import secrets
import sys
from pathlib import Path

SERVER_FILE, WORKER_FILE = "server.secrets.env", "worker.secrets.env"
USER = "quantumflow"
REDIS = "127.0.0.1:6379"


def draw(redis_at: str) -> dict[str, dict[str, str]]:
    """Return fresh passwords, as settings by file.

    Args:
        redis_at: host and port of Redis, whose password is part of an address.
    """
    api, database, redis = (secrets.token_urlsafe(24) for _ in range(3))
    auth = f"{USER}:{api}"
    return {
        SERVER_FILE: {
            "PREFECT_SERVER_API_AUTH_STRING": auth,
            "PREFECT_SERVER_DATABASE_PASSWORD": database,
            "PREFECT_REDIS_MESSAGING_PASSWORD": redis,
            "PREFECT_SERVER_DOCKET_URL": f"redis://default:{redis}@{redis_at}/1",
        },
        WORKER_FILE: {"PREFECT_API_AUTH_STRING": auth},
    }


def write(folder: Path, redis_at: str = REDIS) -> list[Path]:
    """Write both files, readable by their owner alone, and return them.

    Raises:
        ValueError: one is there already; changing a password behind a running server would lock its workers out.
    """
    files = draw(redis_at)
    if there := [name for name in files if (folder / name).exists()]:
        raise ValueError(f"{folder}: expected no passwords yet, found {', '.join(there)}; remove them to draw new ones")
    folder.mkdir(parents=True, exist_ok=True)
    for name, settings in files.items():
        text = "".join(f"{key}={value}\n" for key, value in settings.items())
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    return [folder / name for name in files]


def main(arguments: list[str] | None = None) -> int:
    """Write the files into the folder that is named."""
    parser = argparse.ArgumentParser(prog="python -m deployments.passwords", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files go, such as /etc/quantumflow")
    parser.add_argument("--redis", default=REDIS, metavar="HOST:PORT", help="where Redis is (default: %(default)s)")
    asked = parser.parse_args(arguments)
    try:
        written = write(asked.folder, asked.redis)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"wrote {path}\n" for path in written))
    return 0


if __name__ == "__main__":
    sys.exit(main())

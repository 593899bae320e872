"""The process that serves every deployment of prefect.yaml: ``python -m flows.served``."""

from flows.environment import prepare

prepare()  # before anything imports Prefect, which reads its settings once

from prefect import serve  # noqa: E402

from flows.catalogue import deployment_of, entries  # noqa: E402

if __name__ == "__main__":
    serve(*(deployment_of(entry) for entry in entries()), limit=2)

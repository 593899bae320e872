# The image of everything that we start in containers: server, background services, workers and runs.
#   docker build --file deployments/worker.Dockerfile --tag quantumflow:local .
# The base is pinned by version; pin it by digest as well (python:3.11.14-slim-bookworm@sha256:...) where you mirror it.
FROM python:3.11.14-slim-bookworm AS built
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/quantumflow
RUN python -m venv .venv
# first what changes seldom, so that an edit of ours does not fetch gigabytes again
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN .venv/bin/pip install --no-deps torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
COPY data data
COPY deployments deployments
COPY flows flows
COPY qiskit_solvers qiskit_solvers
COPY tasks tasks
COPY prefect.yaml prefect.yaml
COPY tests/golden/small.qfz tests/golden/small.qfz
RUN .venv/bin/pip install --constraint constraints.txt --editable '.[server,scale]' prefect-kubernetes==0.8.0

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="quantumflow" org.opencontainers.image.licenses="Apache-2.0"
# numba and torch use OpenMP; tini reaps what a killed run leaves
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 quantumflow \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin quantumflow \
    && install --directory --owner=10001 --group=10001 /opt/quantumflow /opt/quantumflow/runs /var/cache/quantumflow
COPY --from=built /opt/quantumflow /opt/quantumflow
RUN install --directory --owner=10001 --group=10001 --mode=0700 /opt/quantumflow/runs
ENV PATH=/opt/quantumflow/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/var/cache/quantumflow \
    QUANTUMFLOW_ROOT=/opt/quantumflow \
    PREFECT_HOME=/tmp/prefect \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1 \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
WORKDIR /opt/quantumflow
USER 10001:10001
RUN python -m flows compile
ENTRYPOINT ["tini", "--"]
CMD ["prefect", "worker", "start", "--pool", "quantumflow", "--type", "kubernetes"]

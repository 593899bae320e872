#!/bin/sh
# Installs Debian's Prometheus for tests/system/test_prometheus_live.py, which starts its own on loopback; needs root.
set -eu
. "$(dirname "$0")/apt.sh"

command -v prometheus >/dev/null 2>&1 || install_packages prometheus
prometheus --version 2>&1 | head -n 1

#!/bin/sh
# Installs Debian's Prometheus for tests/system/test_prometheus_live.py, and keeps it from running as a service.
set -eu

if command -v prometheus >/dev/null 2>&1; then
    prometheus --version 2>&1 | head -n 1
    exit 0
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    # Debian asks this script before it starts a service; 101 means no
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends prometheus
if [ -d /run/systemd/system ]; then
    systemctl disable --now prometheus
fi
prometheus --version 2>&1 | head -n 1

#!/bin/sh
# Installs Debian's nginx for tests/system/test_server_postgresql.py, which starts its own on loopback; needs root.
set -eu
. "$(dirname "$0")/apt.sh"

command -v nginx >/dev/null 2>&1 || install_packages nginx-light
nginx -v

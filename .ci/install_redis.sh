#!/bin/sh
# Installs Debian's Redis for the tests of servers, which start their own on loopback; needs root.
set -eu
. "$(dirname "$0")/apt.sh"

command -v redis-server >/dev/null 2>&1 || install_packages redis-server
redis-server --version

#!/bin/sh
# Installs Debian's PostgreSQL for the tests of servers, which start their own on loopback; needs root.
set -eu
. "$(dirname "$0")/apt.sh"

ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || install_packages postgresql postgresql-client
psql --version

#!/bin/sh
# Installs libfaketime for tests/system/test_faults.py; needs root.
set -eu
. "$(dirname "$0")/apt.sh"

dpkg-query --show faketime >/dev/null 2>&1 || install_packages faketime
dpkg-query --show faketime

#!/bin/sh
# Installs Debian's Chromium for the tests of pages and of Prefect's UI; needs root.
set -eu
. "$(dirname "$0")/apt.sh"

command -v chromium >/dev/null 2>&1 || install_packages chromium fonts-dejavu-core
chromium --version

#!/bin/sh
# Installs Debian's Chromium for tests/system/test_report_in_browser.py; needs root.
set -eu

if command -v chromium >/dev/null 2>&1; then
    chromium --version
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
chromium --version

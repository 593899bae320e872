#!/bin/sh
# Installs Slurm and MUNGE from Debian for the tests of Slurm, which start their own daemons on loopback; needs root.
set -eu
. "$(dirname "$0")/apt.sh"

command -v slurmctld >/dev/null 2>&1 || install_packages slurmctld slurmd slurm-client munge
dpkg-query --show slurmctld slurmd slurm-client munge

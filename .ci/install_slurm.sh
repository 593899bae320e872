#!/bin/sh
# Installs Slurm and MUNGE from Debian for tests/system/test_slurm_live.py; needs root. The test starts its own
# daemons on loopback with its own configuration, so those that the packages bring are not started.
set -eu
export DEBIAN_FRONTEND=noninteractive
guard=/usr/sbin/policy-rc.d
if [ ! -e "$guard" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$guard"
    chmod 755 "$guard"
    trap 'rm -f "$guard"' EXIT
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null
dpkg-query --show --showformat='${Package} ${Version}\n' slurmctld slurmd slurm-client munge

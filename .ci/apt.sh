# Sourced by install_*.sh: installs Debian's packages and keeps the services that they bring from starting.

install_packages() {
    guard=/usr/sbin/policy-rc.d
    if [ ! -e "$guard" ]; then
        # Debian asks this script before it starts a service; 101 means no
        printf '#!/bin/sh\nexit 101\n' >"$guard"
        chmod 755 "$guard"
        trap 'rm -f "$guard"' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

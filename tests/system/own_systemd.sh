#!/bin/sh
# A systemd of its own, in namespaces of its own, with only our units: started by test_server_systemd.py as
#   unshare --fork --kill-child --pid --mount --cgroup --ipc --uts --mount-proc own_systemd.sh FOLDER
# FOLDER has etc-systemd/, etc-quantumflow/, runs/ and venv/. What it writes outside of FOLDER vanishes with it.
set -eu
folder=$1 project=$2 packages=$3 python=$4
mount --make-rprivate /

# its own group of processes, and no controllers: a limit of memory is stated by the units, not tried here
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd

# of the machine's units only targets and slices, which do nothing by themselves
mkdir -p "$folder/units" "$folder/etc" "$folder/empty"
cp /lib/systemd/system/*.target /lib/systemd/system/*.slice "$folder/units"
mount --bind "$folder/units" /lib/systemd/system
mount --bind "$folder/empty" /lib/systemd/system-generators

cp -a /etc/. "$folder/etc"
rm -rf "$folder/etc/systemd/system"
cp -r "$folder/etc-systemd" "$folder/etc/systemd/system"
cp -r "$folder/etc-quantumflow" "$folder/etc/quantumflow"
echo 'quantumflow:x:990:990::/var/lib/quantumflow:/usr/sbin/nologin' >> "$folder/etc/passwd"
echo 'quantumflow:x:990:' >> "$folder/etc/group"
: > "$folder/etc/fstab"
mount --bind "$folder/etc" /etc

touch "$folder/console"
mount --bind "$folder/console" /dev/console
mount -t tmpfs -o mode=755 tmpfs /opt
mount -t tmpfs -o mode=755 tmpfs /var/cache
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /var/log
mkdir /opt/quantumflow /opt/python
mount --bind "$python" /opt/python
mount --bind "$project" /opt/quantumflow
mount --bind "$folder/venv" /opt/quantumflow/.venv
mount --bind "$packages" /opt/quantumflow/.venv/lib/packages
chown 990:990 "$folder/runs"
mount --bind "$folder/runs" /opt/quantumflow/runs
mount -t tmpfs tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp

container=tests exec /lib/systemd/systemd --unit=quantumflow.target --log-target=console --show-status=no

#!/bin/sh
# Runs in the virtual machine: says what it is, runs the tests that were asked for, says how they ended.
cd /project || exit 1
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=/project:/project/tests/store HOME=/root
export PYTHONDONTWRITEBYTECODE=
export ORCHESTRA_TEST_PATIENCE=300  # software emulation takes ten times as long
. /etc/os-release
echo "$PRETTY_NAME, Linux $(uname -r), $(python3 --version), systemd as process 1: $(cat /proc/1/comm)"
echo "cgroup: $(grep cgroup /proc/mounts | cut -d' ' -f2,3 | tr '\n' ';') $(cat /sys/fs/cgroup/cgroup.controllers)"
echo /project/site > "$(python3 -c "import site; print(site.getsitepackages()[0])")/project.pth"
python3 -m compileall -q site orchestra examples
xargs -d "\n" python3 -m pytest -o addopts= -q --color=no -p no:cacheprovider -o timeout=900 < asked
echo "tests on cgroup v2: exit $?"

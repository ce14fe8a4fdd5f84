"""What is tried with which software.

Scripts run in the container, as the user in front of them, and stop at the first command that fails. The folder
`programs` is there as /programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PACKAGES = (
    "cron", "curl", "default-jdk-headless", "gcc", "gdb", "golang-go", "iputils-ping", "libc6-dev", "memcached",
    "netcat-openbsd", "nginx-light", "nodejs", "openssh-client", "openssh-server", "postgresql", "procps", "python3",
    "redis-server", "redis-tools", "strace", "sudo",
)  # fmt: skip
NO_WAY = 77
"""Exit status of a script that cannot try it here."""
IDLE = {"init": True, "command": ["sleep", "infinity"]}


@dataclass(frozen=True, slots=True)
class Trial:
    name: str
    does: str
    service: dict[str, Any]
    scripts: tuple[tuple[str, str], ...] = ()
    logged: str = ""  # words that come in its log
    patience: float = 30.0  # seconds, until then


def shell(*script: str, **more: Any) -> dict[str, Any]:
    return {"command": ["sh", "-ec", "\n".join(script).replace("$", "$$")], **more}


def lines(*script: str) -> str:
    return "\n".join(script)


def comes_true(command: str) -> str:
    return f"for n in $(seq 300); do if {command} >/dev/null 2>&1; then break; fi; sleep 0.1; done\n{command}"


TRIALS = (
    Trial(
        "cron",
        "`cron -f` as process 1; a job of another user",
        shell(
            "echo '* * * * * www-data id -un > /tmp/job' > /etc/cron.d/job",
            "echo '* * * * * root sleep 1; echo a job of $(cat /tmp/job) > /proc/1/fd/1' >> /etc/cron.d/job",
            "exec cron -f",
        ),
        (("root", comes_true("pgrep -x cron")),),
        "a job of www-data",
        100.0,
    ),
    Trial(
        "nginx",
        "as Debian configures it: root, workers as www-data, log files that are links to /dev/stdout and /dev/stderr",
        shell(
            "ln -sf /dev/stdout /var/log/nginx/access.log",
            "ln -sf /dev/stderr /var/log/nginx/error.log",
            "exec nginx -g 'daemon off;'",
        ),
        (("root", comes_true("curl -sf http://nginx/ | grep -q 'Welcome to nginx'")),),
        '"GET / HTTP/1.1" 200',
    ),
    Trial(
        "nginx-user",
        "`user: www-data`, port 80, logs to /dev/stdout opened by name",
        {"command": ["nginx", "-c", "/programs/nginx.conf", "-g", "daemon off;"], "user": "www-data"},
        (("root", comes_true("curl -sf http://nginx-user/ | grep -q 'Welcome to nginx'")),),
        '"GET / HTTP/1.1" 200',
    ),
    Trial(
        "ping",
        "a service by name, as root and as nobody",
        IDLE,
        (
            ("root", "ping -c 1 -W 5 ping"),
            ("nobody", lines("ping -c 1 -W 5 ping", "ping -c 1 -W 5 127.0.0.1")),
        ),
    ),
    Trial(
        "apt",
        "update; install of a package with a user of its own; remove --purge",
        IDLE,
        (
            ("root", f"timeout 20 curl -sfIL http://deb.debian.org/debian/dists/bookworm/Release || exit {NO_WAY}"),
            (
                "root",
                lines(
                    "export DEBIAN_FRONTEND=noninteractive",
                    "apt-get update -q",
                    "apt-get install -qy hello tcpdump",
                    "hello",
                    "id tcpdump",
                    "apt-get remove -qy --purge hello",
                ),
            ),
        ),
    ),
    Trial(
        "postgresql",
        "initdb, shared memory of all kinds, parallel workers, a checkpoint, a dump",
        shell(
            "export PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)",
            "initdb -D /tmp/db -A trust >/dev/null",
            "exec postgres -D /tmp/db -k /tmp -c shared_buffers=96MB -c dynamic_shared_memory_type=posix",
            user="postgres",
        ),
        (
            ("postgres", comes_true("psql -h /tmp -c 'select 1'")),
            (
                "postgres",
                lines(
                    "psql -h /tmp -v ON_ERROR_STOP=1 -f /programs/parallel.sql | grep 'Workers Launched: [1-9]'",
                    "pg_dump -h /tmp -t t | grep -c . | grep -x 3000..",
                ),
            ),
        ),
    ),
    Trial(
        "redis",
        "set, get, a save in a forked child",
        {"command": ["redis-server", "--protected-mode", "no", "--dir", "/tmp"], "user": "redis"},
        (
            ("redis", comes_true("redis-cli -h redis ping")),
            ("redis", lines("redis-cli set a b", 'test "$(redis-cli get a)" = b', "redis-cli bgsave")),
            ("redis", comes_true("test -s /tmp/dump.rdb")),
        ),
    ),
    Trial(
        "memcached",
        "started as root, becomes memcache by itself; set and get",
        {"command": ["memcached", "-u", "memcache", "-m", "32"]},
        (
            (
                "nobody",
                lines(
                    "printf 'set a 0 0 1\\r\\nb\\r\\nget a\\r\\nquit\\r\\n' > /tmp/asked",
                    comes_true("nc -q 1 memcached 11211 < /tmp/asked | grep 'VALUE a 0 1'"),
                ),
            ),
        ),
    ),
    Trial(
        "java",
        "compiles; threads, a heap that fits the limit of memory, an HTTP server, jstack, SIGTERM",
        {**IDLE, "mem_limit": "512m"},
        (
            (
                "nobody",
                lines(
                    "javac -d /tmp /programs/Hello.java",
                    "java -cp /tmp Hello & pid=$!",
                    comes_true("curl -sf http://java:8080/ | grep -qx 'sum 499999500000'"),
                    "jstack $pid | grep -q HTTP-Dispatcher",
                    "kill $pid",
                    "wait $pid || test $? = 143",
                ),
            ),
        ),
    ),
    Trial(
        "go",
        "compiles; an HTTP server on port 80 as nobody, its own resolver looks names up",
        IDLE,
        (
            (
                "nobody",
                lines(
                    "export HOME=/tmp CGO_ENABLED=0",
                    "go build -o /tmp/hello /programs/hello.go",
                    "test \"$(/tmp/hello)\" = 'hello go'",
                ),
            ),
        ),
    ),
    Trial(
        "node",
        "an HTTP server, a worker thread, a child process, a file that is watched",
        IDLE,
        (("nobody", "test \"$(node /programs/hello.js)\" = 'hello 42 seen child'"),),
    ),
    Trial(
        "gdb",
        "a break point and a backtrace; attaches to a running process",
        IDLE,
        (
            (
                "nobody",
                lines(
                    "gcc -g -o /tmp/deep /programs/deep.c",
                    "gdb -batch -ex 'break deep if n==0' -ex run -ex bt /tmp/deep 2>&1 | grep -q '#4 .*main'",
                    "/tmp/deep & pid=$!",
                    comes_true("grep -q pause /proc/$pid/wchan || test $(cut -d' ' -f3 /proc/$pid/stat) = S"),
                    "gdb -batch -p $pid -ex bt 2>&1 | grep -q 'deep (n=3)'",
                    "kill $pid",
                ),
            ),
        ),
    ),
    Trial(
        "strace",
        "follows children; attaches to a running process",
        IDLE,
        (
            (
                "nobody",
                lines(
                    "strace -f -o /tmp/calls sh -c 'cat /etc/hostname; true'",
                    "grep -q 'openat.*/etc/hostname' /tmp/calls",
                    "(while sleep 0.1; do :; done) & pid=$!",
                    "timeout -s INT 2 strace -o /tmp/more -p $pid || true",
                    "grep wait4 /tmp/more",
                    "kill $pid",
                ),
            ),
        ),
    ),
    Trial(
        "sshd",
        "a log-in by key with and without a terminal, sftp",
        shell(
            "mkdir -p /run/sshd /root/.ssh",
            "ssh-keygen -A >/dev/null",
            "ssh-keygen -qt ed25519 -N '' -f /root/.ssh/id_ed25519",
            "cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys",
            "exec /usr/sbin/sshd -De",
        ),
        (
            (
                "root",
                lines(
                    "quiet='-o StrictHostKeyChecking=no -o LogLevel=ERROR'",
                    comes_true("ssh $quiet root@sshd true"),
                    "ssh -tt $quiet root@sshd tty </dev/null | grep /dev/pts/",
                    "echo 'get /etc/hostname /tmp/got' | sftp -b - $quiet root@sshd",
                    "test -s /tmp/got",
                ),
            ),
        ),
    ),
    Trial(
        "su",
        "how start scripts become somebody else: su, runuser, setpriv, and sudo as root",
        IDLE,
        (
            (
                "root",
                lines(
                    "test $(su -s /bin/sh www-data -c 'id -un') = www-data",
                    "test $(runuser -u www-data -- id -un) = www-data",
                    "test $(setpriv --reuid www-data --regid www-data --init-groups id -un) = www-data",
                    "test $(sudo -u www-data id -un) = www-data",
                ),
            ),
        ),
    ),
)

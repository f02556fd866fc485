# What `castoff doctor` tries inside a run. Each attack prints one row: check, result, name, what was tried, what was seen.
# `held` means that it came to nothing, `open` that it succeeded, `none` that it cannot be tried here.

row() {
    printf 'check\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$(printf '%s' "$4" | tr '\t\n' '  ' | cut -c 1-200)"
}

# refused NAME TRIED COMMAND...: the command must fail.
refused() {
    local name=$1 tried=$2 seen code
    shift 2
    seen=$("$@" 2>&1 < /dev/null)
    code=$?
    case $code in
        0) row open "$name" "$tried" "$seen" ;;
        127) row none "$name" "$tried" "the program is not in the image" ;;
        *) row held "$name" "$tried" "$(printf '%s' "$seen" | tail -n 1)" ;;
    esac
}

# equal NAME TRIED WANTED SEEN
equal() {
    if [ -z "$4" ]; then
        row none "$1" "$2" "this kernel does not say"
    elif [ "$4" = "$3" ]; then
        row held "$1" "$2" "$4"
    else
        row open "$1" "$2" "$4 instead of $3"
    fi
}

# empty NAME TRIED SEEN
empty() {
    if [ -z "$3" ]; then row held "$1" "$2" ""; else row open "$1" "$2" "$3"; fi
}

status() { sed -n "s/^$1:[[:space:]]*//p" /proc/self/status; }
write_to() { echo castoff > "$1"; }
write_any() {
    local place
    for place in "$@"; do
        if (echo castoff > "$place/castoff-doctor"); then echo "wrote to $place"; return 0; fi
    done
    return 1
}
read_any() {
    local path
    for path in "$@"; do
        if head -c 1 "$path" > /dev/null; then echo "read $path"; return 0; fi
    done
    return 1
}
connect() { timeout 2 bash -c "exec 3<> /dev/$1"; }
# The call must be refused by the filter (EPERM, ENOSYS or EACCES), whatever its arguments would do.
call() {
    perl -e 'my ($n, @a) = map { $_ + 0 } @ARGV; my $r = syscall($n, @a); my $e = $! + 0; print $r == -1 ? "$!" : "it returned $r";
        exit($r == -1 && scalar(grep { $_ == $e } 1, 13, 38) ? 1 : 0)' "$@"
}
open_socket() { perl -e 'socket(my $s, $ARGV[0], $ARGV[1], $ARGV[2]) or do { print "$!"; exit 1 }' "$@"; }

# Who it is.
id=$(id -u)
if [ "$id" -ne 0 ]; then row held "not root" "id -u" "uid $id"; else row open "not root" "id -u" "uid 0"; fi
capabilities=$(sed -n 's/^Cap[A-Za-z]*:[[:space:]]*//p' /proc/self/status | tr -d '\n')
equal "no capabilities" "all sets of /proc/self/status" 0 "$(printf '%s' "$capabilities" | sed 's/^00*$/0/')"
equal "no new privileges" "NoNewPrivs of /proc/self/status" 1 "$(status NoNewPrivs)"
equal "system calls filtered" "Seccomp of /proc/self/status" 2 "$(status Seccomp)"
empty "no setuid programs" "find / -xdev -perm /6000" "$(find / -xdev -type f -perm /6000 2> /dev/null | head -n 3)"
setuid_shell() { cp /bin/sh ./doctor-sh && chmod 6755 ./doctor-sh && [ "$(./doctor-sh -c 'id -u')" = 0 ]; }
refused "a setuid shell of one's own" "chmod 6755 sh; ./sh -c id" setuid_shell
refused "no way to root" "su -c id" su -c id

# Files of the host and of the image.
refused "image read-only" "write to / /etc /usr /bin /opt /var /root" write_any / /etc /usr /usr/bin /usr/local/bin /opt /var /root /home
refused "no file of the host" "read a file beside the home" read_any "$DOCTOR_OUTSIDE/f"
if [ "$(stat -c %d:%i /etc)" = "$DOCTOR_ETC" ]; then
    row open "/etc is the image's" "device and inode of /etc" "those of the host"
else
    row held "/etc is the image's" "device and inode of /etc" ""
fi
refused "password hashes" "read /etc/shadow" read_any /etc/shadow /etc/gshadow
sockets() {
    local path
    for path in /var/run/docker.sock /run/docker.sock /run/podman/podman.sock /run/containerd/containerd.sock "$DOCTOR_ENGINE"; do
        [ -e "$path" ] && return 0
    done
    return 1
}
refused "engine's socket absent" "look for docker.sock and its like" sockets
empty "no sockets at all" "find / -xdev -type s" "$(find / -xdev -type s 2> /dev/null | head -n 3)"
empty "no disks" "find /dev -type b" "$(find /dev -type b 2> /dev/null | head -n 3)"
refused "kernel memory" "read /dev/mem /dev/kmsg /proc/kcore" read_any /dev/mem /dev/kmem /dev/kmsg /dev/kvm /proc/kcore
refused "kernel settings" "write core_pattern" write_to /proc/sys/kernel/core_pattern
refused "system request" "write /proc/sysrq-trigger" write_to /proc/sysrq-trigger
refused "/sys read-only" "write below /sys" write_any /sys/fs/cgroup /sys/fs/cgroup/memory /sys/fs/cgroup/pids /sys/kernel
refused "own limits" "raise the cgroup's limit" bash -c 'for f in /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do [ -e $f ] && echo 99999999999 > $f && exit 0; done; exit 1'
empty "no secrets in the environment" "env" "$(env | cut -d = -f 1 | grep -iE '^(docker_|castoff|ssh_|aws_)|token|secret|passw|api_?key' | head -n 3)"

# The kernel's doors.
refused "mount" "mount -t tmpfs" mount -t tmpfs none /tmp
refused "bind mount" "mount --bind /proc /tmp" mount --bind /proc /tmp
refused "remount" "mount -o remount,rw /" mount -o remount,rw /
refused "user namespace" "unshare --user --map-root-user" unshare --user --map-root-user true
refused "mount namespace" "unshare --mount" unshare --mount true
refused "network namespace" "unshare --net" unshare --net true
refused "foreign namespaces" "nsenter --target 1" nsenter --target 1 --mount true
refused "chroot" "chroot /tmp" chroot /tmp true
refused "device node" "mknod: a disk" mknod doctor-disk b 8 0
refused "forged whiteout" "mknod: character device 0:0" mknod doctor-whiteout c 0 0
refused "the clock" "date --set" date --set '2001-01-01'
refused "kernel log" "dmesg" dmesg
case $(uname -m) in
    x86_64) ptrace=101 keyctl=250 perf=298 bpf=321 fault=323 ;;
    aarch64) ptrace=117 keyctl=219 perf=241 bpf=280 fault=282 ;;
    *) ptrace= ;;
esac
if [ -n "$ptrace" ]; then
    refused "trace process 1" "ptrace(PTRACE_SEIZE, 1)" call "$ptrace" 16902 1 0 0
    refused "kernel keyring" "keyctl" call "$keyctl" 0 -3 0
    refused "performance counters" "perf_event_open" call "$perf" 0 0 -1 -1 0
    refused "kernel programs" "bpf" call "$bpf" 0 0 0
    refused "page fault handling" "userfaultfd" call "$fault" 0
    refused "io_uring" "io_uring_setup" call 425 1 0
fi

# Process 1 and the host's processes.
kill -9 1 2> /dev/null; kill -STOP 1 2> /dev/null; kill -TERM 1 2> /dev/null; sleep 0.2
equal "process 1 survives" "kill -9, -STOP and -TERM 1" castoff-init "$(cat /proc/1/comm)"
refused "process 1 unreadable" "read environ, mem, maps of /proc/1" read_any /proc/1/environ /proc/1/mem /proc/1/maps
refused "process 1's descriptors" "ls /proc/1/fd" ls /proc/1/fd/
refused "process 1's limits" "prlimit --pid 1 --nofile=0" prlimit --pid 1 --nofile=0:0
refused "process 1's priority" "renice -n 19 -p 1" renice -n 19 -p 1
refused "process 1's scheduling" "chrt --idle --pid 0 1" chrt --idle --pid 0 1
refused "process 1's processors" "taskset --pid 1 1" taskset --pid 1 1
empty "no process of the host" "commands of all processes" "$(cat /proc/[0-9]*/comm 2> /dev/null | grep -E '^(systemd|dockerd|containerd|init|sshd)$' | head -n 3)"

# The network.
equal "no network interface" "/proc/net/dev" lo "$(sed -n 's/^ *\([^ :]*\):.*/\1/p' /proc/net/dev | sort | tr '\n' ' ' | sed 's/ $//')"
empty "no route" "/proc/net/route" "$(tail -n +2 /proc/net/route 2> /dev/null | head -n 1)"
refused "no resolver" "nameserver in /etc/resolv.conf" grep nameserver /etc/resolv.conf
refused "no names" "getent hosts example.com" timeout 5 getent hosts example.com
refused "metadata service" "connect to 169.254.169.254:80" connect tcp/169.254.169.254/80
refused "internet" "connect to 1.1.1.1:443" connect tcp/1.1.1.1/443
refused "internet, IPv6" "connect to 2606:4700:4700::1111" connect tcp/2606:4700:4700::1111/443
refused "internet, UDP" "send to 1.1.1.1:53" connect udp/1.1.1.1/53
refused "the host's bridge" "connect to 172.17.0.1:22" connect tcp/172.17.0.1/22
refused "the engine over TCP" "connect to 172.17.0.1:2375" connect tcp/172.17.0.1/2375
refused "raw socket" "socket(AF_INET, SOCK_RAW, ICMP)" open_socket 2 3 1
refused "packet socket" "socket(AF_PACKET)" open_socket 17 3 768
refused "virtual machine socket" "socket(AF_VSOCK)" open_socket 40 1 0
refused "kernel crypto socket" "socket(AF_ALG)" open_socket 38 5 0

# What one process can take.
equal "open files" "ulimit -H -n" "$DOCTOR_FILES" "$(ulimit -H -n)"
equal "no core dumps" "ulimit -H -c" 0 "$(ulimit -H -c)"
(head -c 32M /dev/zero > doctor-large) 2> /dev/null
size=$(stat -c %s doctor-large)
if [ "$size" -le "$DOCTOR_FILE_BYTES" ]; then row held "size of a file" "write 32 MiB" "ended at $size bytes"; else row open "size of a file" "write 32 MiB" "$size bytes"; fi
fill() { local i; for i in 1 2 3 4 5 6; do head -c 4M /dev/zero > "/tmp/doctor-$i" || return 1; done; }
refused "size of /tmp" "write 24 MiB to /tmp of 16 MiB" fill
rm -f /tmp/doctor-* doctor-*
printf 'end\n'

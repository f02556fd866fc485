//! Castoff's own seccomp profile, as the JSON text that the engine's API takes.
//!
//! An allow list for the machine's own architecture: what is not named is refused with EPERM, and
//! a call through another entry (32-bit, x32) ends the process. The engine's default profile is not
//! used, since it differs between versions and lists the other entries.
//!
//! Three things that shape the rules:
//! * Names that an engine's libseccomp does not know are skipped by runc and crun, so newer calls
//!   may be listed.
//! * An argument of C type `int` is compared masked to its lower 32 bits: the kernel ignores the rest,
//!   a 64-bit comparison does not.
//! * An allow list cannot say "all but these": so process ids are allowed by each bit that castoff-init's
//!   ids have not, a rule for each (order means nothing then). For ioctl(2) the refusals are on
//!   argument 1 and the always true condition on argument 0: libseccomp 2.5 and 2.6 try a condition on
//!   a later argument first.

use serde_json::{Value, json};

use crate::protocol::init::OWN_ID_BITS;

const EACCES: u32 = 13;
const ENOSYS: u32 = 38;
const EOPNOTSUPP: u32 = 95;

/// The lower half of an argument: what the kernel reads of an `int`.
const INT: u64 = 0xffff_ffff;
/// Every `CLONE_NEW…` flag of clone(2).
const CLONE_NEW: u64 = 0x7e02_0000;
/// Bits of a process id: `pid_max` is at most 2^22 (proc_sys_kernel(5)).
const PID_BITS: u32 = 22;

/// Calls on a process or thread by its id, in argument 0: refused on castoff-init, by the id of any of its threads.
const ON_A_PROCESS: &[&str] =
    &["prlimit64", "pidfd_open", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"];

/// Refused as if the kernel did not have them, so that programs fall back.
const UNKNOWN: &[&str] = &["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "listmount", "statmount"];

/// Requests of ioctl(2) that are refused, with the answer.
const IOCTLS: &[(u64, u32)] = &[
    // FS_IOC_RESVSP, FS_IOC_RESVSP64, FS_IOC_ZERO_RANGE: fallocate(2) by another door.
    (0x4030_5828, EOPNOTSUPP),
    (0x4030_582a, EOPNOTSUPP),
    (0x4030_5839, EOPNOTSUPP),
    // TIOCSTI and TIOCLINUX: typing into a terminal.
    (0x5412, EACCES),
    (0x541c, EACCES),
];

/// Domain, type and protocols of the sockets that may be made.
const SOCKETS: &[(u64, u64, &[u64])] =
    &[(1, 1, &[0]), (1, 2, &[0]), (1, 5, &[0]), (2, 1, &[0, 6]), (2, 2, &[0, 17]), (10, 1, &[0, 6]), (10, 2, &[0, 17])];

/// The profile for the architecture that this program was built for.
pub fn profile() -> String {
    let architecture = if cfg!(target_arch = "aarch64") { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" };
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": [architecture],
        "syscalls": rules(),
    })
    .to_string()
}

fn rules() -> Vec<Value> {
    let mut rules = vec![
        allow(ALLOWED, &[]),
        // Disk that is reserved faster than the watcher looks: programs go on with writes.
        refuse(&["fallocate"], EOPNOTSUPP, &[]),
        refuse(UNKNOWN, ENOSYS, &[]),
        allow(&["clone"], &[masked(0, CLONE_NEW, 0)]),
        // PRIO_PROCESS and IOPRIO_WHO_PROCESS on the caller; a group or a user would reach PID 1.
        allow(&["setpriority"], &[masked(0, INT, 0), masked(1, INT, 0)]),
        allow(&["ioprio_set"], &[masked(0, INT, 1), masked(1, INT, 0)]),
        // PER_LINUX, and the question which one is set.
        allow(&["personality"], &[masked(0, INT, 0)]),
        allow(&["personality"], &[masked(0, INT, INT)]),
    ];
    // The caller.
    rules.push(allow(ON_A_PROCESS, &[masked(0, INT, 0)]));
    for bit in OWN_ID_BITS..PID_BITS {
        rules.push(allow(ON_A_PROCESS, &[masked(0, 1 << bit, 1 << bit)]));
    }
    for (request, errno) in IOCTLS {
        rules.push(refuse(&["ioctl"], *errno, &[masked(1, INT, *request)]));
    }
    rules.push(allow(&["ioctl"], &[always()]));
    for (domain, kind, protocols) in SOCKETS {
        for protocol in *protocols {
            let socket = [masked(0, INT, *domain), masked(1, 0xf, *kind), masked(2, INT, *protocol)];
            rules.push(allow(&["socket"], &socket));
        }
    }
    rules.push(allow(&["socketpair"], &[masked(0, INT, 1)]));
    rules
}

fn allow(names: &[&str], args: &[Value]) -> Value {
    json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": args })
}

fn refuse(names: &[&str], errno: u32, args: &[Value]) -> Value {
    json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": args })
}

/// Argument `index`, masked, equals `value`.
fn masked(index: u32, mask: u64, value: u64) -> Value {
    json!({ "index": index, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": value })
}

fn always() -> Value {
    json!({ "index": 0, "op": "SCMP_CMP_GE", "value": 0 })
}

/// Allowed whatever the arguments. Not here, and so refused: everything about mounts, namespaces,
/// modules, keys, tracing, BPF, perf, userfaultfd, other processes' memory, handles, clocks, swap.
#[rustfmt::skip]
const ALLOWED: &[&str] = &[
    "accept", "accept4", "access", "alarm", "arch_prctl", "bind", "brk", "cachestat", "capget", "capset", "chdir",
    "chmod", "chown", "clock_getres", "clock_gettime", "clock_nanosleep", "close", "close_range", "connect",
    "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait",
    "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "execve", "execveat", "exit", "exit_group", "faccessat",
    "faccessat2", "fadvise64", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl",
    "fdatasync", "fgetxattr", "flistxattr", "flock", "fork", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync",
    "ftruncate", "futex", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake", "futimesat", "get_robust_list",
    "get_thread_area", "getcpu", "getcwd", "getdents", "getdents64", "getegid", "geteuid", "getgid", "getgroups",
    "getitimer", "getpeername", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid",
    "getresuid", "getrlimit", "getrusage", "getsid", "getsockname", "getsockopt", "gettid", "gettimeofday", "getuid",
    "getxattr", "getxattrat", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel",
    "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit", "ioprio_get", "kill", "landlock_add_rule",
    "landlock_create_ruleset", "landlock_restrict_self", "lchown", "lgetxattr", "link", "linkat", "listen",
    "listxattr", "listxattrat", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "madvise",
    "map_shadow_stack", "membarrier", "memfd_create", "mincore", "mkdir", "mkdirat", "mknod", "mknodat", "mlock",
    "mlock2", "mlockall", "mmap", "mprotect", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive",
    "mq_timedsend", "mq_unlink", "mremap", "mseal", "msgctl", "msgget", "msgrcv", "msgsnd", "msync", "munlock",
    "munlockall", "munmap", "nanosleep", "newfstatat", "open", "openat", "openat2", "pause", "pidfd_send_signal",
    "pipe", "pipe2", "pkey_alloc", "pkey_free", "pkey_mprotect", "poll", "ppoll", "prctl", "pread64", "preadv",
    "preadv2", "pselect6", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv",
    "recvfrom", "recvmmsg", "recvmsg", "remap_file_pages", "removexattr", "removexattrat", "rename", "renameat",
    "renameat2", "restart_syscall", "rmdir", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo",
    "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
    "sched_getscheduler", "sched_rr_get_interval", "sched_yield", "seccomp", "select", "semctl", "semget", "semop",
    "semtimedop", "sendfile", "sendmmsg", "sendmsg", "sendto", "set_robust_list", "set_thread_area",
    "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups", "setitimer", "setpgid", "setregid", "setresgid",
    "setresuid", "setreuid", "setrlimit", "setsid", "setsockopt", "setuid", "setxattr", "setxattrat", "shmat",
    "shmctl", "shmdt", "shmget", "shutdown", "sigaltstack", "signalfd", "signalfd4", "splice", "stat", "statfs",
    "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "sysinfo", "tee", "tgkill", "time",
    "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create",
    "timerfd_gettime", "timerfd_settime", "times", "tkill", "truncate", "umask", "uname", "unlink", "unlinkat",
    "utime", "utimensat", "utimes", "vfork", "wait4", "waitid", "write", "writev",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_reaches_the_kernels_depths_is_allowed() {
        for name in [
            "mount",
            "umount2",
            "unshare",
            "setns",
            "ptrace",
            "process_vm_readv",
            "keyctl",
            "bpf",
            "userfaultfd",
            "io_uring_setup",
            "perf_event_open",
            "open_by_handle_at",
            "fallocate",
            "clone",
            "clone3",
            "socket",
            "prlimit64",
            "setpriority",
            "pidfd_getfd",
            "chroot",
            "init_module",
            "kexec_load",
            "reboot",
        ] {
            assert!(!ALLOWED.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_profile_is_json_with_one_architecture() {
        let profile: Value = serde_json::from_str(&profile()).unwrap();
        assert_eq!(profile["architectures"].as_array().map(Vec::len), Some(1));
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    }
}

// Every way to a hold on process 1, by which castoff-init could be starved: by the id of each of its threads, by group and
// by user, also with what the kernel ignores in the upper half of an int, and through the entries for 32-bit and x32
// programs. Prints what was possible.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Below 4 GiB: where 32-bit pointers reach.
static unsigned long long none[2], mask[16] = {1};
static struct sched_param lowest;
static struct { unsigned size, policy; unsigned long long flags; int nice; unsigned rest[8]; } attr;
static int tried, possible;

#if defined(__x86_64__)
static long by_32_bits(long n, long a, long b, long c, long d) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(n), "b"(a), "c"(b), "d"(c), "S"(d) : "memory", "r8", "r9", "r10", "r11");
    if (result < 0) { errno = -result; return -1; }
    return result;
}
static long by_x32(long n, long a, long b, long c, long d) { return syscall(0x40000000 | n, a, b, c, d); }
#endif
static long natively(long n, long a, long b, long c, long d) { return syscall(n, a, b, c, d); }

typedef long entry(long, long, long, long, long);
static void attempt(const char *name, const char *how, entry call, long n, long a, long b, long c, long d) {
    pid_t child = fork();
    if (child == 0) _exit(call(n, a, b, c, d) < 0);
    int status;
    waitpid(child, &status, 0);
    tried++;
    // A call that the filter does not know ends the process.
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) { possible++; printf("possible: %s %s on %ld\n", how, name, a); }
}

struct numbers { long setpriority, prlimit, setaffinity, setscheduler, setparam, setattr, ioprio, pidfd; };
static void by_id(const char *how, entry call, struct numbers n, long id) {
    for (int limit = 0; limit < RLIM_NLIMITS; limit++)
        attempt("prlimit", how, call, n.prlimit, id, limit, (long)none, 0);
    attempt("setpriority", how, call, n.setpriority, PRIO_PROCESS, id, 19, 0);
    attempt("ioprio_set", how, call, n.ioprio, 1, id, 3 << 13, 0);
    attempt("sched_setaffinity", how, call, n.setaffinity, id, sizeof mask, (long)mask, 0);
    attempt("sched_setscheduler", how, call, n.setscheduler, id, SCHED_IDLE, (long)&lowest, 0);
    attempt("sched_setparam", how, call, n.setparam, id, (long)&lowest, 0, 0);
    attempt("sched_setattr", how, call, n.setattr, id, (long)&attr, 0, 0);
    attempt("pidfd_open", how, call, n.pidfd, id, 0, 0, 0);
}
static void by_group_and_user(const char *how, entry call, struct numbers n) {
    long group = getpgid(1), user = getuid();
    for (long id = 0; id < 3; id++) {
        long who[3] = {0, group, 1};
        attempt("setpriority of a group", how, call, n.setpriority, PRIO_PGRP, who[id], 19, 0);
        attempt("ioprio_set of a group", how, call, n.ioprio, 2, who[id], 3 << 13, 0);
    }
    attempt("setpriority of a user", how, call, n.setpriority, PRIO_USER, user, 19, 0);
    attempt("setpriority of the user", how, call, n.setpriority, PRIO_USER, 0, 19, 0);
    attempt("ioprio_set of a user", how, call, n.ioprio, 3, user, 3 << 13, 0);
}
static void all(const char *how, entry call, struct numbers n) {
    DIR *tasks = opendir("/proc/1/task");
    for (struct dirent *task; tasks && (task = readdir(tasks));)
        if (atol(task->d_name) > 0) by_id(how, call, n, atol(task->d_name));
    if (tasks) closedir(tasks);
    by_group_and_user(how, call, n);
}

int main(void) {
    attr.size = 48, attr.policy = SCHED_IDLE;
    struct numbers native = {SYS_setpriority, SYS_prlimit64, SYS_sched_setaffinity, SYS_sched_setscheduler,
        SYS_sched_setparam, SYS_sched_setattr, SYS_ioprio_set, SYS_pidfd_open};
    setvbuf(stdout, NULL, _IONBF, 0);
    all("natively", natively, native);
    by_id("with garbage above,", natively, native, 1 | 7L << 32);
#if defined(__x86_64__)
    struct numbers i386 = {97, 340, 241, 156, 154, 351, 289, 434};
    all("through int 0x80,", by_32_bits, i386);
    all("through x32,", by_x32, native);
#endif
    printf("%d of %d attempts were possible\n", possible, tried);
}

/* Counts the writes and syncs of the files whose path holds a given text, and kills the process
   at the one asked for: before it, after it, or with half of it written. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { BEFORE, AFTER, TORN };

static char match[256];
static long target, count;
static int mode;

void crash_arm(const char *text, long at, int how) {
    snprintf(match, sizeof match, "%s", text);
    target = at;
    mode = how;
    count = 0;
}

long crash_count(void) { return count; }

static int ours(int fd) {
    char link[64], path[4096];
    if (!match[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return strstr(path, match) != NULL;
}

/* Whether this call is the one; counted only for our files. */
static int reached(int fd) {
    return ours(fd) && __sync_add_and_fetch(&count, 1) == target;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define WRITES(name, parameters, half, whole) \
    ssize_t name parameters { \
        REAL(name); \
        int now = reached(fd); \
        if (now && mode == BEFORE) die(); \
        if (now && mode == TORN) { \
            if (real half < 0) die(); \
            die(); \
        } \
        ssize_t done = real whole; \
        if (now) die(); \
        return done; \
    }

/* A sync or a truncation has no half: torn is before. */
#define SYNCS(name, parameters, whole) \
    int name parameters { \
        REAL(name); \
        int now = reached(fd); \
        if (now && mode != AFTER) die(); \
        int done = real whole; \
        if (now) die(); \
        return done; \
    }

WRITES(write, (int fd, const void *data, size_t size), (fd, data, size / 2), (fd, data, size))
WRITES(pwrite, (int fd, const void *data, size_t size, off_t at),
       (fd, data, size / 2, at), (fd, data, size, at))
WRITES(pwrite64, (int fd, const void *data, size_t size, off64_t at),
       (fd, data, size / 2, at), (fd, data, size, at))
SYNCS(fsync, (int fd), (fd))
SYNCS(fdatasync, (int fd), (fd))
SYNCS(ftruncate, (int fd, off_t size), (fd, size))
SYNCS(ftruncate64, (int fd, off64_t size), (fd, size))

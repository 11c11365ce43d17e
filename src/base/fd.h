/* Descriptors and small files. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/bytes.h"

/* Make sure that 0, 1 and 2 are open (on /dev/null if need be), so that no other descriptor ever lands there. */
MUST_CHECK int fd_secure_stdio(void);
MUST_CHECK int fd_set_cloexec(int fd);
MUST_CHECK int fd_set_nonblock(int fd);
/* Write all of it to a blocking descriptor. 0 or -errno. */
MUST_CHECK int fd_write_all(int fd, struct bytes data);
/* Read a whole file; -EFBIG above max_bytes. Adds to ret_text (the caller's buffer). */
MUST_CHECK int fd_read_file(const char *path, size_t max_bytes, struct buf *ret_text);
MUST_CHECK int fd_read_all(int fd, size_t max_bytes, struct buf *ret_text);
/* Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat): with the pid it names one
 * process for good. 0 with the value, -ESRCH if there is no such process. */
MUST_CHECK int fd_process_start(pid_t pid, unsigned long long *ret_ticks);
/* mkdir -p with mode for what is missing. */
MUST_CHECK int fd_make_folder(const char *path, mode_t mode);
/* 2 * n hex digits and a NUL from the kernel's random source. */
void fd_random_hex(char *ret_text, size_t random_bytes);
/* The inode that names a namespace ("/proc/self/ns/pid"); 0 when it cannot be told. */
void fd_namespace_inode(const char *path, ino_t *ret_inode);

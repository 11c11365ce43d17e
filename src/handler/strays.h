/* Killing what a handler left: its process group, and what escaped it and fell to this process as child subreaper. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Become the child subreaper; children keep their statuses for us, whatever was inherited for SIGCHLD. */
void strays_adopt(void);
/* True if this process has no child at all; reaps those that are dead already. One system call in the usual case. */
bool strays_none(void);
/* Kill (SIGKILL) and reap every child of this process but those in keep, again until none is left; bounded to limit_ms. Returns how many were killed.
 * One that we may not kill, since it is another user's by now, is left and not waited for. */
size_t strays_kill(const pid_t *keep, size_t keep_count, int64_t limit_ms);
/* Reap those children that have ended, but never `leader`: what a long run orphans does not stay a zombie until its end. */
void strays_reap(pid_t leader);
/* SIGKILL (after SIGCONT) to the group of this leader, only if the process that started at start_ticks still leads it or the group still has members that are not
 * someone else's: used by the supervisor for a dead worker's handler. */
void strays_kill_group(pid_t pgid, unsigned long long start_ticks);

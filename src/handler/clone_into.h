/* clone3 with CLONE_INTO_CGROUP: a child that is in its group from its first moment. libc has no call for it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

/* Tried with a child that ends at once, in a group that was never killed. False on machines that this was not
 * written for; where the call is refused (a sandbox with RestrictNamespaces=, old containers); and where the
 * child does not live: see group.c. */
bool clone_into_works(int group_fd);
/* As clone(child, stack + size, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, …), in the group of this
 * folder. The child must not return. Its pid, or -errno. No sanitizer may instrument the caller's child. */
MUST_CHECK int clone_into(int group_fd, int (*child)(void *), char *stack, size_t size, void *argument,
			  int *ret_pidfd);

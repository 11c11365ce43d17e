/* The child goes on behind the system call with a new stack, where no C may run before the call that never
 * returns: so these few instructions are one piece, and what they need is in registers, of which the child
 * has a copy. */
#include "handler/clone_into.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
enum { PROBE_STACK_BYTES = 16 * 1024 };

#define INTO_CGROUP UINT64_C(0x200000000)

/* The kernel's, version 2; <linux/sched.h> does not go with <sched.h>. */
struct clone3_arguments {
	uint64_t flags;
	uint64_t pidfd;
	uint64_t child_tid;
	uint64_t parent_tid;
	uint64_t exit_signal;
	uint64_t stack;
	uint64_t stack_size;
	uint64_t tls;
	uint64_t set_tid;
	uint64_t set_tid_size;
	uint64_t cgroup;
};

#if defined(__x86_64__)
static long clone3_and_call(const struct clone3_arguments *arguments, int (*child)(void *), void *argument)
{
	long result;

	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xorl %%ebp, %%ebp\n\t"
			 "movq %[argument], %%rdi\n\t"
			 "callq *%[child]\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(result)
			 : "0"((long)SYS_clone3), "D"(arguments),
			   "S"(sizeof(*arguments)), [child] "r"(child), [argument] "r"(argument)
			 : "rcx", "r11", "memory", "cc");
	return result;
}
#elif defined(__aarch64__)
static long clone3_and_call(const struct clone3_arguments *arguments, int (*child)(void *), void *argument)
{
	register long x0 __asm__("x0") = (long)(intptr_t)arguments;
	register long x1 __asm__("x1") = sizeof(*arguments);
	register long x8 __asm__("x8") = SYS_clone3;

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, #0\n\t"
			 "mov x0, %[argument]\n\t"
			 "blr %[child]\n\t"
			 "brk #1\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x1), "r"(x8), [child] "r"(child), [argument] "r"(argument)
			 : "memory", "cc");
	return x0;
}
#else
static long clone3_and_call(const struct clone3_arguments *arguments, int (*child)(void *), void *argument)
{
	(void)arguments;
	(void)child;
	(void)argument;
	return -ENOSYS;
}
#endif

int clone_into(int group_fd, int (*child)(void *), char *stack, size_t size, void *argument, int *ret_pidfd)
{
	const struct clone3_arguments arguments = {
		.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | INTO_CGROUP,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
		.stack = (uint64_t)(uintptr_t)stack,
		.stack_size = size,
		.cgroup = (uint64_t)group_fd,
	};
	return (int)clone3_and_call(&arguments, child, argument);
}

__attribute__((no_sanitize("address", "undefined", "thread"), no_instrument_function)) static int
child_that_ends(void *unused)
{
	(void)unused;
	syscall(SYS_exit_group, 0);
	return 0;
}

bool clone_into_works(int group_fd)
{
	_Alignas(16) char stack[PROBE_STACK_BYTES];
	int status = -1;
	int pidfd = -1;
	int pid = clone_into(group_fd, child_that_ends, stack, sizeof(stack), NULL, &pidfd);

	if (pid < 0)
		return false;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	(void)close(pidfd);
	return status == 0;
}

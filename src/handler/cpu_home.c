/* The mask is read anew each time, so whatever an operator did to it (taskset, a cpuset) holds from the next pause on. */
#include "handler/cpu_home.h"

#include <string.h>

static int nth_cpu(const cpu_set_t *set, size_t n)
{
	int cpu = 0;

	while (cpu < CPU_SETSIZE && (!CPU_ISSET(cpu, set) || n-- > 0))
		cpu++;
	return cpu;
}

static void go_home(struct cpu_home *h)
{
	cpu_set_t one;

	if (sched_getaffinity(0, sizeof(h->all), &h->all) < 0)
		return; /* more than CPU_SETSIZE of them */
	size_t count = (size_t)CPU_COUNT(&h->all);
	if (count < 2 || h->workers < count)
		return;
	CPU_ZERO(&one);
	CPU_SET(nth_cpu(&h->all, h->number % count), &one);
	h->kept = sched_setaffinity(0, sizeof(one), &one) == 0;
}

static void leave(struct cpu_home *h)
{
	h->kept = false;
	if (sched_setaffinity(0, sizeof(h->all), &h->all) == 0)
		return;
	memset(&h->all, 0xff, sizeof(h->all)); /* none of them is ours any more: wherever the cpuset allows */
	(void)!sched_setaffinity(0, sizeof(h->all), &h->all);
}

void cpu_home_keep(struct cpu_home *h, bool keep)
{
	if (h->wanted == keep)
		return;
	h->wanted = keep;
	if (keep)
		go_home(h);
	else if (h->kept)
		leave(h);
}

const cpu_set_t *cpu_home_handlers(const struct cpu_home *h)
{
	return h->kept ? &h->all : NULL;
}

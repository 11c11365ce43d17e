/* `doctor`: is this Redis one that keeps what it accepts, and may xackd do there what it does? */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/num.h"
#include "ctl/doctor.h"

static bool info_is(const struct doctor *d, const char *name, const char *value)
{
	char text[64];
	return inspect_value(d->info, name, text, sizeof(text)) && strcmp(text, value) == 0;
}

void doctor_version(struct doctor *d)
{
	char version[32] = "";
	unsigned major = 0, minor = 0;
	if (!inspect_value(d->info, "redis_version", version, sizeof(version)) ||
	    sscanf(version, "%9u.%9u", &major, &minor) != 2)
		return;
	if (major < 6 || (major == 6 && minor < 2))
		doctor_say(d, FINDING_ERROR, "use Redis 6.2 or later",
			   "Redis is of version %s and lacks XAUTOCLAIM", version);
	if (info_is(d, "cluster_enabled", "1"))
		doctor_say(d, FINDING_WARNING,
			   "use a Redis without cluster, or make sure that all streams are on this node",
			   "Redis is a node of a cluster");
}

/* A server's rights are asked once, a queue's for each queue. */
static void probe(struct doctor *d, const struct probe *p, size_t queue)
{
	const struct queue *q = &d->ctl->config->queues[queue];
	struct redis_error error = { 0 };
	const char *todo = "ACL SETUSER, with what the line says";
	if (inspect_probe(d->redis, &d->ctl->keys[queue], p, &error) != 1)
		return;
	if (strncmp(error.text, "ERR", 3) == 0)
		todo = "the command was renamed or is disabled: undo that in redis.conf";
	if (p->server)
		doctor_say(d, p->needed ? FINDING_ERROR : FINDING_WARNING, todo, "%s is refused: %s", p->what,
			   error.text);
	else
		doctor_say(d, p->needed ? FINDING_ERROR : FINDING_WARNING, todo, "%s/%s: %s is refused: %s",
			   q->stream, q->group, p->what, error.text);
}

void doctor_rights(struct doctor *d)
{
	size_t count;
	const struct probe *probes = inspect_probes(&count);
	for (size_t q = 0; q < d->ctl->config->queue_count; q++) {
		for (size_t i = 0; i < count; i++) {
			if (q == 0 || !probes[i].server)
				probe(d, &probes[i], q);
		}
	}
}

static void look_at_replicas(struct doctor *d)
{
	char text[128], wanted[32] = "0";
	int64_t least = 0, good = inspect_number(d->info, "min_slaves_good_slaves",
						 inspect_number(d->info, "connected_slaves", 0));
	struct redis_error error;
	for (int i = 0; i < 100; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "slave%d", i);
		if (!inspect_value(d->info, name, text, sizeof(text)))
			break;
		if (!strstr(text, "state=online"))
			doctor_say(d, FINDING_WARNING, "look at that replica's log",
				   "a replica is not in step: %s", text);
	}
	if (inspect_config(d->redis, "min-replicas-to-write", wanted, sizeof(wanted), &error) == 0 &&
	    num_i64(bytes_of(wanted), &least) == 0 && good < least)
		doctor_say(d, FINDING_ERROR, "start the replicas",
			   "Redis refuses writes: %" PRId64 " of the %" PRId64
			   " replicas that it wants are there",
			   good, least);
}

void doctor_role(struct doctor *d)
{
	char master[128] = "?";
	if (!info_is(d, "role", "slave")) {
		look_at_replicas(d);
		return;
	}
	(void)inspect_value(d->info, "master_host", master, sizeof(master));
	doctor_say(d, FINDING_ERROR, "point redis.url to the master",
		   "this Redis is a replica (of %s) and takes no writes", master);
}

void doctor_persistence(struct doctor *d)
{
	char value[64] = "";
	struct redis_error error;
	bool aof = info_is(d, "aof_enabled", "1");
	if (info_is(d, "loading", "1"))
		doctor_say(d, FINDING_WARNING, "wait", "Redis is loading its data");
	if (!aof)
		doctor_say(d, FINDING_WARNING, "CONFIG SET appendonly yes, and CONFIG REWRITE",
			   "appendonly is off: when Redis dies, all that it accepted since its last snapshot "
			   "is lost");
	else if (inspect_config(d->redis, "appendfsync", value, sizeof(value), &error) == 0 &&
		 strcmp(value, "no") == 0)
		doctor_say(d, FINDING_WARNING,
			   "CONFIG SET appendfsync everysec (or always, to lose nothing), and CONFIG REWRITE",
			   "appendfsync is no: when the machine dies, up to half a minute is lost");
	if (inspect_value(d->info, "aof_last_write_status", value, sizeof(value)) && strcmp(value, "ok") != 0)
		doctor_say(d, FINDING_ERROR, "look at the disk and at Redis's log",
			   "Redis could not write its append-only file");
	if (inspect_value(d->info, "aof_last_bgrewrite_status", value, sizeof(value)) &&
	    strcmp(value, "ok") != 0)
		doctor_say(d, FINDING_WARNING, "look at the disk and at Redis's log",
			   "Redis could not rewrite its append-only file");
	if (inspect_value(d->info, "rdb_last_bgsave_status", value, sizeof(value)) &&
	    strcmp(value, "ok") != 0)
		doctor_say(d, FINDING_ERROR, "look at the disk and at Redis's log",
			   "Redis could not save a snapshot, and may refuse writes for it (MISCONF)");
}

void doctor_eviction(struct doctor *d)
{
	char policy[64] = "noeviction";
	bool bounded = inspect_number(d->info, "maxmemory", 0) > 0;
	int64_t evicted = inspect_number(d->info, "evicted_keys", 0);
	(void)inspect_value(d->info, "maxmemory_policy", policy, sizeof(policy));
	if (strcmp(policy, "noeviction") != 0)
		doctor_say(d, bounded && strncmp(policy, "allkeys", 7) == 0 ? FINDING_ERROR : FINDING_WARNING,
			   "CONFIG SET maxmemory-policy noeviction, and CONFIG REWRITE",
			   "maxmemory-policy is %s: %s", policy,
			   strncmp(policy, "allkeys", 7) == 0 ? "when memory is short, Redis deletes streams"
							      : "meant for a cache, not for a queue");
	if (evicted > 0)
		doctor_say(d, FINDING_WARNING, "give Redis memory, and a database of its own",
			   "Redis has evicted %" PRId64 " keys since it started", evicted);
}

void doctor_memory(struct doctor *d)
{
	int64_t used = inspect_number(d->info, "used_memory", 0),
		most = inspect_number(d->info, "maxmemory", 0);
	int64_t machine = inspect_number(d->info, "total_system_memory", 0),
		limit = most > 0 ? most : machine;
	const char *what = most > 0 ? "maxmemory" : "the machine's memory";
	if (limit <= 0 || used < limit / 10 * 9)
		return;
	doctor_say(d, used >= limit / 100 * 98 ? FINDING_ERROR : FINDING_WARNING,
		   "raise maxmemory, or trim the streams (sizes are in xackctl queues)",
		   "Redis uses %" PRId64 " MB of %" PRId64 " MB (%s): producers will be refused", used >> 20,
		   limit >> 20, what);
}

void doctor_clients(struct doctor *d)
{
	int64_t now = inspect_number(d->info, "connected_clients", 0),
		most = inspect_number(d->info, "maxclients", 0);
	int64_t more = d->status ? 0 : (int64_t)d->ctl->config->slot_count + 2;
	if (most > 0 && now + more > most / 10 * 9)
		doctor_say(d, now + more > most ? FINDING_ERROR : FINDING_WARNING,
			   "raise maxclients in redis.conf",
			   "%" PRId64 " of %" PRId64
			   " clients are connected, and xackd wants one for each of %zu workers",
			   now, most, d->ctl->config->slot_count);
}

void doctor_clock(struct doctor *d)
{
	enum { MOST_APART_MS = 2000, SLOW_MS = 100 };
	struct redis_error error;
	int64_t redis = 0, before = clock_wall_ms();
	if (inspect_time(d->redis, &redis, &error) < 0)
		return;
	int64_t after = clock_wall_ms(), apart = redis > after    ? redis - after
						 : redis < before ? redis - before
								  : 0;
	if (apart > MOST_APART_MS || apart < -MOST_APART_MS)
		doctor_say(d, FINDING_WARNING, "let both keep time (NTP)",
			   "Redis's clock is %" PRId64
			   " s %s this host's: times in the log and of entries do not fit together",
			   (apart < 0 ? -apart : apart) / 1000, apart < 0 ? "behind" : "ahead of");
	if (after - before > SLOW_MS)
		doctor_say(d, FINDING_WARNING, "look at the network and at SLOWLOG GET",
			   "Redis took %" PRId64 " ms for an answer", after - before);
}

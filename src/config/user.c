/* Who the jobs run as. Names are looked up once while loading, in the supervisor and in each worker: nothing
 * that can block or change happens between fork and exec. A name of nobody is no error: the job is suspended
 * until there is such a user. */
#include "config/load.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/num.h"

enum { RECORD_MAX_BYTES = 1024 * 1024, GROUPS_MAX = 65536 };

/* A name and what it stands for; user is NULL when it names nobody. */
struct known_user {
	const char *name;
	struct run_user *user;
};

/* May this process become somebody else? */
bool user_may_change(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	const unsigned needed = 1u << CAP_SETUID | 1u << CAP_SETGID;

	if (syscall(SYS_capget, &header, data) < 0)
		return geteuid() == 0;
	return (data[0].effective & needed) == needed;
}

/* The record of a name, or of a number that is no name. *ret_found is NULL when there is none. */
static int find_record(const char *name, struct passwd *record, struct buf *room, struct passwd **ret_found)
{
	int64_t number;
	bool by_number = num_i64(bytes_of(name), &number) == 0 && number >= 0 && number < UINT32_MAX;

	for (size_t size = 4096; size <= RECORD_MAX_BYTES; size *= 4) {
		buf_clear(room);
		if (buf_reserve(room, size) < 0)
			return -ENOMEM;
		int r = getpwnam_r(name, record, room->p, size, ret_found);
		if (!*ret_found && r != ERANGE && by_number)
			r = getpwuid_r((uid_t)number, record, room->p, size, ret_found);
		if (*ret_found || r != ERANGE)
			return 0;
	}
	*ret_found = NULL;
	return 0;
}

static int find_groups(struct arena *arena, const struct passwd *record, struct run_user *user)
{
	int count = 32;

	for (;;) {
		AUTO_FREE gid_t *groups = calloc((size_t)count, sizeof(*groups));
		int had = count;

		if (!groups)
			return -ENOMEM;
		if (getgrouplist(record->pw_name, record->pw_gid, groups, &count) >= 0) {
			user->group_count = (size_t)count;
			user->groups = arena_array(arena, user->group_count, sizeof(*groups));
			if (!user->groups)
				return -ENOMEM;
			memcpy(user->groups, groups, user->group_count * sizeof(*groups));
			return 0;
		}
		if (count <= had)
			count = had * 2;
		if (count > GROUPS_MAX)
			return -E2BIG;
	}
}

static int look_up(struct arena *arena, const char *name, struct run_user **ret_user)
{
	AUTO_BUF room = { 0 };
	struct passwd record, *found = NULL;
	int r = find_record(name, &record, &room, &found);

	*ret_user = NULL;
	if (r < 0 || !found)
		return r;

	struct run_user *user = arena_alloc(arena, sizeof(*user));
	if (!user)
		return -ENOMEM;
	user->name = arena_text(arena, found->pw_name, strlen(found->pw_name));
	user->home = arena_text(arena, found->pw_dir, strlen(found->pw_dir));
	user->shell = arena_text(arena, found->pw_shell, strlen(found->pw_shell));
	user->uid = found->pw_uid;
	user->gid = found->pw_gid;
	r = user->name && user->home && user->shell ? find_groups(arena, found, user) : -ENOMEM;
	if (r == 0)
		*ret_user = user;
	return r;
}

/* Through a list of those seen: a file has few users and many jobs. */
static int known_look_up(struct loading *l, struct known_user *known, size_t *count, const char *name,
			 struct run_user **ret_user)
{
	for (size_t i = 0; i < *count; i++) {
		if (known[i].name == name || strcmp(known[i].name, name) == 0) {
			*ret_user = known[i].user;
			return 0;
		}
	}
	int r = look_up(l->loader.arena, name, ret_user);
	if (r == 0)
		known[(*count)++] = (struct known_user){ name, *ret_user };
	return r;
}

static void check_right(struct loading *l, struct job_load *j)
{
	const struct key_path top = { NULL, "jobs", 0 }, job = { &top, j->job->name, 0 },
			      path = { &job, "user", 0 };

	if (j->job->user && j->job->user->uid == geteuid()) {
		j->job->user = NULL;
		return;
	}
	if (l->to_read)
		return;
	report_add(l->loader.report, job_place(j, KEY_JOB_USER), &path,
		   "xackd runs without the right to change user (run it as root, or with CAP_SETUID and "
		   "CAP_SETGID, or take this key away)");
	j->broken = true;
}

int resolve_users(struct loading *l)
{
	struct known_user *known = arena_array(l->loader.scratch, l->job_count, sizeof(*known));
	bool may = user_may_change();
	size_t count = 0;

	if (!known)
		return -ENOMEM;
	for (size_t i = 0; i < l->job_count; i++) {
		struct job *job = l->jobs[i].job;

		if (!job->user_missing)
			continue;
		int r = known_look_up(l, known, &count, job->user_missing, &job->user);
		if (r < 0)
			return r;
		if (job->user)
			job->user_missing = NULL;
		if (!may)
			check_right(l, &l->jobs[i]);
	}
	return 0;
}

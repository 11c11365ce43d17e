/* Reaching Redis and the daemon, and saying in words which of the two is not there. */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>

#include "ctl/text.h"
#include "ipc/control.h"

enum { DAEMON_ANSWER_MS = 5000 };

int ctl_say(int code, const char *format, ...)
{
	char line[2048];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	AUTO_BUF text = { 0 };
	text_escape(&text, bytes_of(line), true, sizeof(line));
	(void)fflush(stdout);
	(void)fprintf(stderr, "xackctl: %s\n", text.p ? text.p : "");
	return code;
}

/* "TEXT (ADVICE)" */
static void add_error(struct buf *out, const struct redis_error *error)
{
	buf_add_text(out, error->text[0] ? error->text : "no answer");
	if (error->advice && *error->advice)
		buf_addf(out, " (%s)", error->advice);
}

static void add_redis(struct buf *out, const struct ctl *ctl, const char *what,
		      const struct redis_error *error)
{
	AUTO_FREE char *where = redis_target_text(&ctl->config->redis);
	buf_addf(out, "Redis at %s %s: ", where ? where : "?", what);
	add_error(out, error);
}

int ctl_redis_try(struct ctl *ctl, struct connection **ret_connection, struct buf *why)
{
	struct redis_error error = { 0 };
	if (!ctl->redis)
		ctl->redis = connection_new(&ctl->config->redis, "xackctl", NULL, NULL);
	if (!ctl->redis) {
		buf_add_text(why, "out of memory");
		return CTL_NO;
	}
	if (connection_state(ctl->redis) != CONNECTION_READY && connection_open(ctl->redis, &error) < 0) {
		add_redis(why, ctl, "cannot be reached", &error);
		return CTL_UNAVAILABLE;
	}
	*ret_connection = ctl->redis;
	return 0;
}

int ctl_redis(struct ctl *ctl, struct connection **ret_connection)
{
	AUTO_BUF why = { 0 };
	if (ctl->redis_exit)
		return ctl->redis_exit;
	if (!ctl->redis) {
		int r = ctl_redis_try(ctl, ret_connection, &why);
		if (r != 0)
			return ctl->redis_exit = ctl_say(r, "%s", why.p ? why.p : "?");
	}
	*ret_connection = ctl->redis;
	return 0;
}

int ctl_redis_why(const struct ctl *ctl, size_t queue, int r, const struct redis_error *error, struct buf *why)
{
	const struct queue *q = &ctl->config->queues[queue];
	if (r == -ENOMEM) {
		buf_add_text(why, "out of memory");
		return CTL_NO;
	}
	if (r != -EPROTO) {
		add_redis(why, ctl, "cannot be reached", error);
		return CTL_UNAVAILABLE;
	}
	if (error->reaction == REACT_RECONNECT || error->reaction == REACT_BACK_OFF) {
		add_redis(why, ctl, "cannot do it now", error);
		return CTL_UNAVAILABLE;
	}
	buf_addf(why, "queue %s/%s: Redis refuses: ", q->stream, q->group);
	add_error(why, error);
	return CTL_NO;
}

int ctl_redis_failed(const struct ctl *ctl, size_t queue, int r, const struct redis_error *error)
{
	AUTO_BUF why = { 0 };
	int code = ctl_redis_why(ctl, queue, r, error, &why);
	return ctl_say(code, "%s", why.p ? why.p : "?");
}

int ctl_daemon(const struct ctl *ctl, json_t *request_taken, json_t **ret_answer, struct fault *ret_fault)
{
	AUTO_JSON *request = request_taken;
	AUTO_JSON *answer = NULL;
	*ret_fault = (struct fault){ 0 };
	if (!request)
		return fault_set(ret_fault, -ENOMEM, "out of memory");
	int r = control_call(ctl->config->control_socket, request, DAEMON_ANSWER_MS, &answer, ret_fault);
	if (r == -ENOENT)
		r = -ECONNREFUSED;
	if (r < 0) {
		if (!ret_fault->text[0])
			(void)fault_set(ret_fault, r, "%s", strerror(-r));
		return r;
	}
	const char *refusal = json_string_value(json_object_get(answer, "error"));
	if (refusal)
		return ctl_say(CTL_NO, "the daemon refuses: %s", refusal);
	*ret_answer = TAKE(answer);
	return 0;
}

int ctl_no_daemon(const struct ctl *ctl, const struct fault *fault)
{
	if (fault->error == -ENOENT || fault->error == -ECONNREFUSED || !fault->text[0])
		return ctl_say(CTL_UNAVAILABLE, "the daemon does not run (nobody answers at %s)",
			       ctl->config->control_socket);
	return ctl_say(CTL_UNAVAILABLE, "the daemon cannot be asked at %s: %s", ctl->config->control_socket,
		       fault->text);
}

/* The daemon answers a list as such or under the verb's name. */
static json_t *list_in(json_t *answer, const char *verb)
{
	json_t *list = json_is_array(answer) ? answer : json_object_get(answer, verb);
	return json_is_array(list) ? json_incref(list) : NULL;
}

int ctl_daemon_list(const struct ctl *ctl, const char *verb, json_t **ret_list)
{
	AUTO_JSON *answer = NULL;
	struct fault fault;
	int r = ctl_daemon(ctl, json_pack("{s:s}", "verb", verb), &answer, &fault);
	if (r < 0)
		return ctl_no_daemon(ctl, &fault);
	if (r > 0)
		return r;
	*ret_list = list_in(answer, verb);
	if (!*ret_list)
		return ctl_say(CTL_NO,
			       "the daemon's answer to \"%s\" is not understood (is it of another version?)",
			       verb);
	return 0;
}

/* Ask where an answer is welcome but not needed. */
static json_t *ask_quietly(const struct ctl *ctl, const char *verb)
{
	AUTO_JSON *request = json_pack("{s:s}", "verb", verb);
	json_t *answer = NULL;
	if (!request ||
	    control_call(ctl->config->control_socket, request, DAEMON_ANSWER_MS, &answer, NULL) < 0)
		return NULL;
	return answer;
}

json_t *ctl_daemon_list_quietly(const struct ctl *ctl, const char *verb)
{
	AUTO_JSON *answer = ask_quietly(ctl, verb);
	return answer ? list_in(answer, verb) : NULL;
}

bool ctl_daemon_look(const struct ctl *ctl)
{
	AUTO_JSON *answer = ask_quietly(ctl, "look");
	return answer != NULL;
}

void ctl_daemon_resume_quietly(const struct ctl *ctl, const char *job)
{
	AUTO_JSON *request = json_pack("{s:s, s:s}", "verb", "resume", "job", job);
	AUTO_JSON *answer = NULL;
	if (request)
		(void)!control_call(ctl->config->control_socket, request, DAEMON_ANSWER_MS, &answer, NULL);
}

/* xackd: the daemon, or one of its workers (the same binary, started by the supervisor with a variable that says which), or one of the
 * small things that end at once. */
#include <stdio.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/num.h"
#include "base/privacy.h"
#include "config/config.h"
#include "daemon/args.h"
#include "supervisor/supervisor.h"
#include "worker/worker.h"

static const char worker_title[] = "xackd: worker ";

/* <row>/<pool>/<number> */
static bool parse_place(const char *text, struct worker_place *ret_place)
{
	const char *pool = strchr(text, '/');
	const char *last = strrchr(text, '/');
	uint64_t row = 0, number = 0;

	if (!pool || last == pool || (size_t)(last - pool) > sizeof(ret_place->pool) ||
	    num_u64((struct bytes){ text, (size_t)(pool - text) }, &row) < 0 || num_u64(bytes_of(last + 1), &number) < 0 || number > INT32_MAX)
		return false;
	ret_place->row = row;
	ret_place->number = (int)number;
	snprintf(ret_place->pool, sizeof(ret_place->pool), "%.*s", (int)(last - pool - 1), pool + 1);
	return true;
}

static bool is_worker(int argc, char **argv, struct worker_place *ret_place)
{
	const char *place = getenv(WORKER_ENV);

	if (!place || argc != 1 || strncmp(argv[0], worker_title, sizeof(worker_title) - 1) != 0 || !parse_place(place, ret_place))
		return false;
	(void)unsetenv(WORKER_ENV);
	return true;
}

/* stdout may be closed, full or a broken pipe: that is an error, not a success without words. */
static int flush_out(void)
{
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("xackd: stdout");
		return EXIT_FAILED;
	}
	return EXIT_STOPPED;
}

static int print(const struct buf *text)
{
	(void)fwrite(text->p ? text->p : "", 1, text->n, stdout);
	return flush_out();
}

static void complain(const struct buf *report)
{
	if (report->n > 0)
		(void)fwrite(report->p, 1, report->n, stderr);
}

/* 0, or EXIT_CONFIG after having said all that is wrong. */
static int load(const char *file, struct config_source **ret_source, struct config **ret_config)
{
	AUTO_BUF report = { 0 };
	struct config_source *source = NULL;
	int r = config_source_read(file, &source, &report);

	if (r == 0)
		r = config_load(source, ret_config, &report);
	if (r == 0)
		r = config_rights(source, *ret_config, &report);
	complain(&report);
	if (r != 0) {
		config_free(TAKE(*ret_config));
		if (report.n == 0)
			(void)fprintf(stderr, "%s: %s\n", file, strerror(-r));
		config_source_free(source);
		return EXIT_CONFIG;
	}
	privacy_set(config_has_secret(*ret_config));
	*ret_source = source;
	return 0;
}

static int check(const struct config *config)
{
	AUTO_BUF warnings = { 0 };

	(void)config_warnings(config, &warnings);
	complain(&warnings);
	(void)printf("%s: ok (%zu job%s, %zu queue%s)\n", config->file, config->job_count, config->job_count == 1 ? "" : "s", config->queue_count,
		     config->queue_count == 1 ? "" : "s");
	return flush_out();
}

static int print_of_table(const char *what)
{
	AUTO_BUF text = { 0 };
	int r = strcmp(what, "schema") == 0	 ? config_print_schema(&text) :
		strcmp(what, "reference") == 0 ? config_print_reference(&text) :
						 config_print_sample(&text);
	return r < 0 ? EXIT_FAILED : print(&text);
}

static int with_config(const struct args *args)
{
	struct config_source *source = NULL;
	struct config *config = NULL;
	AUTO_BUF text = { 0 };
	int code = load(args->config_file, &source, &config);

	if (code != 0)
		return code;
	if (args->action == ACTION_RUN)
		return supervisor_main(&(struct supervisor_options){ .source = source, .config = config, .until_empty = args->until_empty });
	if (args->action == ACTION_CHECK)
		code = check(config);
	else
		code = config_print_effective(config, &text) < 0 ? EXIT_FAILED : print(&text);
	config_free(config);
	config_source_free(source);
	return code;
}

static int act(const struct args *args)
{
	switch (args->action) {
	case ACTION_HELP:
		args_print_help();
		return flush_out();
	case ACTION_VERSION:
		(void)printf("xackd %s\n", PACKAGE_VERSION);
		return flush_out();
	case ACTION_PRINT:
		if (strcmp(args->print, "config") != 0)
			return print_of_table(args->print);
		return with_config(args);
	case ACTION_RUN:
	case ACTION_CHECK:
		return with_config(args);
	}
	return EXIT_FAILED;
}

int main(int argc, char **argv)
{
	struct args args;
	struct worker_place place;

	privacy_set(true); /* until it is known whether there is a secret: a password may stand in our environment */
	if (fd_secure_stdio() < 0)
		return EXIT_FAILED;
	if (is_worker(argc, argv, &place))
		return worker_main(&place);
	int code = args_parse(argc, argv, &args);
	if (code != 0)
		return code;
	/* What a careless parent left open is not ours, and would be our workers' too. */
	(void)syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0);
	return act(&args);
}

/* The texts of a configuration: the main file and what its `include:` names, read once. An included file that
 * cannot be read is kept with its reason, so that config_load can report it among all other errors. */
#include "config/source.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "config/yaml_tree.h"

enum {
	FILES_MAX = 10000,
	BYTES_MAX = 64 * 1024 * 1024, /* of all files */
};

void config_source_free(struct config_source *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++) {
		free(s->texts[i].name);
		free(s->texts[i].text);
		free(s->texts[i].fault);
	}
	free(s->texts);
	free(s->file);
	free(s->folder);
	free(s->host);
	free(s);
}

static void source_cleanup(struct config_source **s)
{
	config_source_free(*s);
}
#define AUTO_SOURCE __attribute__((cleanup(source_cleanup))) struct config_source

static int absolute_path(const char *file, char **ret_path)
{
	char folder[PATH_MAX];
	char *path = NULL;

	if (file[0] == '/')
		path = strdup(file);
	else if (!getcwd(folder, sizeof(folder)))
		return -errno;
	else if (asprintf(&path, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, file) < 0)
		path = NULL;
	if (!path)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return strdup("/");
	return strndup(path, (size_t)(slash - path));
}

/* A new row at the end. Gives nothing: the source owns it. */
static struct config_text *source_add(struct config_source *s, const char *name)
{
	if ((s->count & (s->count - 1)) == 0) {
		struct config_text *grown =
			reallocarray(s->texts, s->count ? s->count * 2 : 1, sizeof(*grown));

		if (!grown)
			return NULL;
		s->texts = grown;
	}
	struct config_text *text = &s->texts[s->count];
	*text = (struct config_text){ .name = strdup(name) };
	if (!text->name)
		return NULL;
	s->count++;
	return text;
}

static int text_fail(struct config_text *text, int error)
{
	const char *why = error == -EFBIG   ? "larger than 4 MiB"
			  : error == -ENXIO ? "not a regular file"
					    : strerrordesc_np(-error);

	text->fault = strdup(why ? why : "unknown error");
	return text->fault ? 0 : -ENOMEM;
}

static int text_read(struct config_text *text, const char *path)
{
	AUTO_BUF content = { 0 };
	int r = fd_read_file(path, YAML_MAX_BYTES, &content);

	if (r < 0)
		return r;
	text->length = content.n;
	text->text = buf_take(&content);
	return text->text ? 0 : -ENOMEM;
}

/* Only plain files: a pipe would block, a device never end. */
static int include_file(struct config_source *s, const char *name, const char *path, struct place named)
{
	struct stat status;
	struct config_text *text = source_add(s, name);
	int r = 0;

	if (!text)
		return -ENOMEM;
	text->named = named;
	if (stat(path, &status) < 0)
		r = -errno;
	else if (S_ISDIR(status.st_mode))
		r = -EISDIR;
	else if (!S_ISREG(status.st_mode))
		r = -ENXIO;
	else
		r = text_read(text, path);
	if (r == -ENOMEM)
		return r;
	return r < 0 ? text_fail(text, r) : 0;
}

static bool source_has(const struct config_source *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->texts[i].name, name) == 0)
			return true;
	}
	return false;
}

/* The folder as a pattern that means itself alone. */
static void add_escaped_folder(struct buf *pattern, const char *folder)
{
	for (; *folder; folder++) {
		if (strchr("*?[]\\", *folder))
			buf_add_char(pattern, '\\');
		buf_add_char(pattern, *folder);
	}
}

/* What errors call an included file: as the main file was given, with the name in its folder. */
static int display_name(const struct config_source *s, const char *path, char **ret_name)
{
	const char *given = s->texts[0].name;
	const char *slash = strrchr(given, '/');
	size_t folder = strlen(s->folder);
	char *name = NULL;

	if (strncmp(path, s->folder, folder) == 0 && path[folder] == '/') {
		if (asprintf(&name, "%.*s%s", slash ? (int)(slash + 1 - given) : 0, given,
			     path + folder + 1) < 0)
			return -ENOMEM;
	} else {
		name = strdup(path);
	}
	if (!name)
		return -ENOMEM;
	*ret_name = name;
	return 0;
}

static int include_path(struct config_source *s, const char *path, struct place named)
{
	AUTO_FREE char *name = NULL;
	int r = display_name(s, path, &name);

	if (r < 0)
		return r;
	if (source_has(s, name) || s->count >= FILES_MAX)
		return 0;
	return include_file(s, name, path, named);
}

static int include_pattern(struct config_source *s, const struct yaml_node *node)
{
	bool is_pattern = strpbrk(node->text, "*?[") != NULL;
	AUTO_BUF path = { 0 };
	glob_t found;

	if (node->text[0] != '/') {
		if (is_pattern)
			add_escaped_folder(&path, s->folder);
		else
			buf_add_text(&path, s->folder);
		buf_add_char(&path, '/');
	}
	buf_add_text(&path, node->text);
	if (path.failed)
		return -ENOMEM;
	if (!is_pattern)
		return include_path(s, path.p, node->at);

	int r = glob(path.p, 0, NULL, &found);
	if (r == GLOB_NOMATCH)
		return 0;
	if (r != 0)
		return r == GLOB_NOSPACE ? -ENOMEM : -EIO;
	for (size_t i = 0; i < found.gl_pathc && r == 0; i++)
		r = include_path(s, found.gl_pathv[i], node->at);
	globfree(&found);
	return r;
}

static int source_facts(struct config_source *s)
{
	char host[HOST_NAME_MAX + 1] = "";
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (gethostname(host, sizeof(host)) < 0)
		host[0] = '\0';
	host[sizeof(host) - 1] = '\0';
	s->host = strdup(host);
	s->cpus = cpus < 1 ? 1 : (unsigned)cpus;
	return s->host ? 0 : -ENOMEM;
}

/* The main file is read as a tree here only to find its `include:`; what is wrong in it is reported when it
 * is loaded. */
static int source_include(struct config_source *s)
{
	struct arena arena = { 0 };
	struct report ignored = { .arena = &arena };
	struct yaml_node *root = NULL;
	int r = yaml_tree_parse(&arena, 0, (struct bytes){ s->texts[0].text, s->texts[0].length }, &ignored,
				&root);
	const struct yaml_node *list = yaml_find(root, "include");

	for (size_t i = 0; r == 0 && list && list->kind == YAML_LIST && i < list->count; i++) {
		if (list->items[i]->kind == YAML_SCALAR && list->items[i]->length > 0)
			r = include_pattern(s, list->items[i]);
	}
	arena_done(&arena);
	return r;
}

static int source_check_sum(const struct config_source *s)
{
	size_t sum = 0;

	for (size_t i = 0; i < s->count; i++)
		sum += s->texts[i].length;
	return sum > BYTES_MAX ? -EFBIG : 0;
}

int config_source_read(const char *file, struct config_source **ret_source, struct buf *report)
{
	AUTO_SOURCE *s = calloc(1, sizeof(*s));
	int r = s ? absolute_path(file, &s->file) : -ENOMEM;

	if (r == 0) {
		s->folder = s->file ? folder_of(s->file) : NULL;
		struct config_text *text = s->folder ? source_add(s, file) : NULL;
		r = text ? text_read(text, file) : -ENOMEM;
	}
	if (r == 0)
		r = source_facts(s);
	if (r == 0)
		r = source_include(s);
	if (r == 0)
		r = source_check_sum(s);
	if (r < 0) {
		buf_addf(report, "%s: cannot be read: %s\n", file,
			 r == -EFBIG ? "too large (4 MiB a file, 64 MiB in all)" : strerrordesc_np(-r));
		return r;
	}
	*ret_source = TAKE(s);
	return 0;
}

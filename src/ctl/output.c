/* Where output goes and in which shape: the terminal's abilities, JSON, cells and records. Tables are in
 * table.c. */
#include "ctl/output.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <strings.h>
#include <sys/ioctl.h>

#include "ctl/table.h"
#include "ctl/text.h"
#include "domain/payload.h"

/* Only the character classes: a decimal comma in JSON would be worse than a wrong width. */
static bool use_utf8_classes(void)
{
	locale_t classes = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	return classes && uselocale(classes);
}

static bool reader_shows_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *value = getenv(names[i]);
		if (value && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

static size_t terminal_width(void)
{
	enum { USUAL_WIDTH = 80, LEAST_WIDTH = 20 };
	struct winsize size = { 0 };
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= LEAST_WIDTH)
		return size.ws_col;
	return USUAL_WIDTH;
}

void output_init(struct output *o, enum output_format format)
{
	*o = (struct output){ .format = format, .terminal = isatty(STDOUT_FILENO) };
	o->unicode = use_utf8_classes() && (!o->terminal || reader_shows_utf8());
	o->width = o->terminal ? terminal_width() : 0;
	const char *no_colour = getenv("NO_COLOR"), *kind = getenv("TERM");
	o->colour =
		o->terminal && !(no_colour && *no_colour) && kind && *kind && strcasecmp(kind, "dumb") != 0;
}

static void note_failure(struct output *o)
{
	if (!o->failed)
		o->error = errno;
	o->failed = true;
}

void output_write(struct output *o, struct bytes text)
{
	if (!o->failed && text.n > 0 && fwrite(text.p, 1, text.n, stdout) != text.n)
		note_failure(o);
}

bool output_finish(struct output *o)
{
	if (!o->failed && fflush(stdout) != 0)
		note_failure(o);
	return !o->failed || o->error == EPIPE;
}

void output_line(struct output *o, const char *format, ...)
{
	AUTO_BUF text = { 0 };
	char line[1024];
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	text_escape(&text, bytes_of(line), o->unicode, sizeof(line));
	buf_add_char(&text, '\n');
	output_write(o, buf_bytes(&text));
}

/* JSON without the newline; a terminal gets it with nothing in it that it could act upon. */
static void write_json(struct output *o, struct bytes json)
{
	if (!o->terminal) {
		output_write(o, json);
		return;
	}
	AUTO_BUF safe = { 0 };
	text_escape_json(&safe, json, o->unicode);
	output_write(o, buf_bytes(&safe));
}

void output_json(struct output *o, struct bytes json)
{
	while (json.n > 0 && json.p[json.n - 1] == '\n')
		json.n--;
	write_json(o, json);
	output_write(o, bytes_of("\n"));
}

struct cell cell_member(json_t *object, const char *name)
{
	json_t *value = json_object_get(object, name);
	if (json_is_integer(value))
		return cell_number(json_integer_value(value));
	if (json_is_boolean(value))
		return cell_flag(json_is_true(value));
	if (json_is_string(value))
		return cell_bytes((struct bytes){ json_string_value(value), json_string_length(value) });
	return cell_null();
}

static void add_cell_json(struct buf *out, const struct cell *cell)
{
	switch (cell->kind) {
	case CELL_NUMBER:
		json_add_i64(out, cell->number);
		return;
	case CELL_TEXT:
		json_add_text(out, cell->text);
		return;
	case CELL_FLAG:
		buf_add_text(out, cell->number ? "true" : "false");
		return;
	case CELL_JSON:
		buf_add_bytes(out, cell->text);
		return;
	case CELL_NULL:
	case CELL_PAIRS:
		buf_add_text(out, "null");
		return;
	}
}

static void add_base64_member(struct buf *out, const char *key, struct bytes value)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s_b64", key);
	json_add_name(out, name);
	buf_add_char(out, '"');
	buf_add_base64(out, value);
	buf_add_char(out, '"');
}

void output_object(struct buf *out, const struct column *columns, const struct cell *cells, size_t n)
{
	buf_add_char(out, '{');
	for (size_t i = 0; i < n; i++) {
		if (cells[i].kind == CELL_PAIRS) {
			if (i > 0)
				buf_add_char(out, ',');
			payload_add_fields(out, cells[i].entry->pairs, cells[i].entry->pair_count);
			continue;
		}
		if (cells[i].exact && !utf8_valid(cells[i].text)) {
			add_base64_member(out, columns[i].key, cells[i].text);
			continue;
		}
		json_add_name(out, columns[i].key);
		add_cell_json(out, &cells[i]);
	}
	buf_add_char(out, '}');
}

int list_begin(struct list *l, struct output *o, const struct column *columns, size_t n)
{
	*l = (struct list){ .output = o, .columns = columns, .n = n };
	if (o->format == OUTPUT_TABLE)
		return table_begin(l);
	if (o->format == OUTPUT_JSON)
		output_write(o, bytes_of("["));
	return 0;
}

bool list_row(struct list *l, const struct cell *cells)
{
	struct output *o = l->output;
	if (o->format == OUTPUT_TABLE) {
		table_row(l, cells);
	} else {
		AUTO_BUF row = { 0 };
		if (o->format == OUTPUT_JSON)
			buf_add_text(&row, l->rows ? ",\n " : "\n ");
		output_object(&row, l->columns, cells, l->n);
		if (o->format == OUTPUT_JSONL)
			buf_add_char(&row, '\n');
		if (row.failed) {
			o->failed = true;
			o->error = ENOMEM;
		}
		write_json(o, buf_bytes(&row));
	}
	l->rows++;
	return !o->failed;
}

void list_end(struct list *l, const char *empty_text)
{
	struct output *o = l->output;
	if (o->format == OUTPUT_TABLE)
		table_end(l);
	if (o->format == OUTPUT_JSON)
		output_write(o, bytes_of(l->rows ? "\n]\n" : "]\n"));
	if (l->rows == 0 && empty_text && o->format == OUTPUT_TABLE)
		(void)fprintf(stderr, "%s\n", empty_text);
}

void output_record(struct output *o, const struct column *columns, const struct cell *cells, size_t n)
{
	AUTO_BUF text = { 0 };
	if (o->format == OUTPUT_TABLE) {
		table_record(&text, o, columns, cells, n);
		output_write(o, buf_bytes(&text));
	} else {
		output_object(&text, columns, cells, n);
		output_json(o, buf_bytes(&text));
	}
	if (text.failed) {
		o->failed = true;
		o->error = ENOMEM;
	}
}

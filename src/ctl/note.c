/* Reads notes of failures. What is not a JSON object is treated as if there were none. */
#include "ctl/note.h"

void note_read(struct note *n, const char *text)
{
	*n = (struct note){ 0 };
	json_t *object = text ? json_parse(bytes_of(text)) : NULL;
	if (!json_is_object(object)) {
		json_decref(object);
		return;
	}
	n->object = object;
	n->text = json_dumps(object, JSON_COMPACT);
	n->reason = json_string_value(json_object_get(object, "reason"));
	n->detail = json_string_value(json_object_get(object, "detail"));
}

void note_done(struct note *n)
{
	json_decref(n->object);
	free(n->text);
	*n = (struct note){ 0 };
}

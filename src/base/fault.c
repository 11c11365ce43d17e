/* A fault is written once and handed up; its text may be made from its own earlier text. */
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fault_set(struct fault *f, int error, const char *format, ...)
{
	char text[sizeof(f->text)] = ""; /* an argument may be f->text itself */

	if (!f)
		return error;
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	memcpy(f->text, text, sizeof(text));
	f->error = error;
	return error;
}

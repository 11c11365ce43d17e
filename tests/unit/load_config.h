/* For the tests of the configuration: load it from texts in memory, as if they had been files in /conf. */
#pragma once

#include <setjmp.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/source.h"

struct loaded {
	struct config *config; /* NULL: refused */
	struct buf report;
	int result;
};

static inline void loaded_done(struct loaded *l)
{
	config_free(l->config);
	buf_done(&l->report);
}
#define AUTO_LOADED __attribute__((cleanup(loaded_done))) struct loaded

/* texts[0] is main.yaml, the others are included as 1.yaml, 2.yaml… */
static inline struct loaded load_texts(const char *const *texts, size_t count)
{
	static const char *const names[] = { "main.yaml", "1.yaml", "2.yaml", "3.yaml" };
	struct config_text list[ARRAY_LEN(names)];
	char file[] = "/conf/main.yaml", folder[] = "/conf", host[] = "web 1.example";
	const struct config_source source = {
		.file = file, .folder = folder, .host = host, .cpus = 4, .texts = list, .count = count
	};
	struct loaded l = { 0 };

	memset(list, 0, sizeof(list));

	assert_true(count <= ARRAY_LEN(names));
	for (size_t i = 0; i < count; i++) {
		list[i].name = strdup(names[i]);
		list[i].length = strlen(texts[i]);
		list[i].text = malloc(list[i].length); /* exact, so that a sanitizer sees who reads beyond */
		assert_non_null(list[i].name);
		if (list[i].length)
			memcpy(list[i].text, texts[i], list[i].length);
	}
	l.result = config_load(&source, &l.config, &l.report);
	for (size_t i = 0; i < count; i++) {
		free(list[i].name);
		free(list[i].text);
	}
	assert_int_equal(l.result == 0, l.config != NULL);
	return l;
}

static inline struct loaded load_text(const char *text)
{
	return load_texts(&text, 1);
}

/* Loads, or the test fails with the errors shown. */
static inline struct loaded load_good(const char *text)
{
	struct loaded l = load_text(text);

	if (!l.config)
		fail_msg("%s\n%s", text, l.report.p);
	assert_int_equal(l.report.n, 0);
	return l;
}

/* Is refused with exactly this report. */
static inline void check_refused(const char *text, const char *report)
{
	AUTO_LOADED l = load_text(text);

	assert_null(l.config);
	assert_int_equal(l.result, -EINVAL);
	assert_string_equal(l.report.p, report);
}

struct refusal {
	const char *text;
	const char *report;
};

static inline void check_refusals(const struct refusal *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_refused(rows[i].text, rows[i].report);
}

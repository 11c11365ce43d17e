/* The configuration: any bytes as the main file (and, behind a form feed, as an included one). It is loaded or refused with a reason; what was
 * loaded is printed, and what was printed means the same again. */
#include "fuzz.h"

#include <errno.h>

#include "config/config.h"
#include "config/source.h"

enum { TEXTS_MAX = 2 };

static int load(const struct bytes *texts, size_t count, struct config **ret_config)
{
	struct config_text list[TEXTS_MAX];
	char main_name[] = "main.yaml", more_name[] = "more.yaml", file[] = "/conf/main.yaml", folder[] = "/conf", host[] = "web1";
	const struct config_source source = {
		.file = file, .folder = folder, .host = host, .cpus = 2, .texts = list, .count = count
	};
	AUTO_BUF report = { 0 };

	memset(list, 0, sizeof(list));
	for (size_t i = 0; i < count; i++) {
		list[i].name = i ? more_name : main_name;
		list[i].length = texts[i].n;
		list[i].text = malloc(texts[i].n ? texts[i].n : 1); /* exact: the sanitizer sees who reads beyond */
		if (list[i].text && texts[i].n)
			memcpy(list[i].text, texts[i].p, texts[i].n);
	}
	int r = config_load_to_read(&source, ret_config, &report);
	PROMISED(r == 0 || r == -ENOMEM || (r == -EINVAL && report.n > 0));
	for (size_t i = 0; i < count; i++)
		free(list[i].text);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes rest = { (const char *)data, size };
	struct bytes texts[TEXTS_MAX];
	struct config *config = NULL, *again = NULL;
	AUTO_BUF first = { 0 };
	AUTO_BUF second = { 0 };
	size_t count = 0;

	do {
		texts[count] = next_piece(&rest, count + 1 < TEXTS_MAX ? '\f' : '\0');
		count++;
	} while (rest.n > 0 && count < TEXTS_MAX);
	if (load(texts, count, &config) < 0)
		return 0;
	if (config_print_effective(config, &first) == 0) {
		struct bytes printed = buf_bytes(&first);
		PROMISED(load(&printed, 1, &again) == 0);
		PROMISED(config_print_effective(again, &second) == 0);
		PROMISED(first.n == second.n && memcmp(first.p, second.p, first.n) == 0);
	}
	config_free(config);
	config_free(again);
	return 0;
}

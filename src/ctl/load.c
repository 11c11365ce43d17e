/* Loads the daemon's configuration, to read it only: what this user may do does not matter. */
#include <stdio.h>

#include "ctl/ctl.h"

static int name_keys(struct ctl *ctl)
{
	size_t n = ctl->config->queue_count;
	ctl->keys = calloc(n ? n : 1, sizeof(*ctl->keys));
	for (size_t i = 0; ctl->keys && i < n; i++) {
		if (queue_keys_init(&ctl->keys[i], ctl->config->queues[i].stream,
				    ctl->config->queues[i].group) < 0)
			return -1;
	}
	return ctl->keys ? 0 : -1;
}

int ctl_load(struct ctl *ctl, struct buf *report)
{
	struct config_source *source = NULL;
	int r = config_source_read(ctl->args->config_file, &source, report);
	if (r == 0)
		r = config_load_to_read(source, &ctl->config, report);
	config_source_free(source);
	if (r < 0 && report->n == 0)
		buf_add_text(report, "the configuration cannot be read\n");
	if (r < 0)
		return CTL_CONFIG;
	if (name_keys(ctl) < 0) {
		buf_add_text(report, "out of memory\n");
		return CTL_NO;
	}
	return 0;
}

void ctl_done(struct ctl *ctl)
{
	connection_free(ctl->redis);
	for (size_t i = 0; ctl->keys && i < ctl->config->queue_count; i++)
		queue_keys_done(&ctl->keys[i]);
	free(ctl->keys);
	config_free(ctl->config);
}

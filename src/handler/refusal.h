/* Why a run could not start: which kind of end that is, and in words. */
#pragma once

#include "domain/job.h"
#include "domain/outcome.h"
#include "handler/plan.h"
#include "handler/spawn.h"

/* No memory, no process, no descriptors for `what`. The refusals return PLAN_REFUSED, for `return`. */
enum plan_answer refusal_resources(struct run_end *ret_end, const char *what, int error);
enum plan_answer refusal_not_in_path(struct run_end *ret_end, const char *name, const char *folders);
enum plan_answer refusal_user_missing(struct run_end *ret_end, const char *name);
enum plan_answer refusal_no_payload(struct run_end *ret_end, const char *field);
/* spawn_start's answer. */
void refusal_spawn(struct run_end *ret_end, const struct job *job, const char *path, enum spawn_stage stage, int error);

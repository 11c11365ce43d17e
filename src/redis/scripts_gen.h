/* The table that the build makes of src/lua/NAME.lua, ended by a row of NULLs. */
#pragma once

struct script_source {
	const char *name;
	const char *text;
};
extern const struct script_source script_sources[];

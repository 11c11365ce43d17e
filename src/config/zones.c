/* Where time zones come from: the files of the system's zoneinfo, by name, as the C library finds them; and
 * $TZ. */
#include <errno.h>

#include "base/fd.h"
#include "config/load.h"

enum { ZONE_FILE_MAX_BYTES = 1024 * 1024 };

static const char *zone_folder(void)
{
	const char *folder = getenv("TZDIR");

	return folder && folder[0] == '/' ? folder : "/usr/share/zoneinfo";
}

/* Names of zones are paths below the folder; nothing else is. */
static bool name_good(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-/";

	return name[0] && name[0] != '/' && name[0] != '.' && !strstr(name, "/.") && !strstr(name, "//") &&
	       strspn(name, allowed) == strlen(name);
}

static int read_file(const char *path, struct zone **ret_zone)
{
	AUTO_BUF file = { 0 };
	int r = fd_read_file(path, ZONE_FILE_MAX_BYTES, &file);

	return r < 0 ? r : zone_from_file(buf_bytes(&file), ret_zone);
}

static int read_named(const char *name, struct zone **ret_zone)
{
	AUTO_BUF path = { 0 };

	buf_addf(&path, "%s/%s", zone_folder(), name);
	return path.failed ? -ENOMEM : read_file(path.p, ret_zone);
}

static bool is_utc(const char *name)
{
	return strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0;
}

static int by_name(const char *name, struct zone **ret_zone, struct fault *ret_fault)
{
	if (is_utc(name)) { /* also where no zoneinfo is installed */
		*ret_zone = NULL;
		return 0;
	}
	int r = name_good(name) ? read_named(name, ret_zone) : -ENOENT;
	if (r == 0 || r == -ENOMEM)
		return r;
	if (r == -EINVAL)
		return fault_set(ret_fault, -EINVAL, "the file of %s in %s is no time zone that can be used",
				 QUOTED_TEXT(name), zone_folder());
	return fault_set(
		ret_fault, -EINVAL,
		"there is no time zone %s in %s (such as Europe/Paris or UTC; the package is tzdata)",
		QUOTED_TEXT(name), zone_folder());
}

/* As the C library reads it: ":FILE", "NAME", or a rule; empty is UTC. */
static int by_variable(const char *text, struct zone **ret_zone, struct fault *ret_fault)
{
	const char *name = text[0] == ':' ? text + 1 : text;

	if (!name[0] || is_utc(name)) {
		*ret_zone = NULL;
		return 0;
	}
	int r = name[0] == '/'    ? read_file(name, ret_zone)
		: name_good(name) ? read_named(name, ret_zone)
				  : -ENOENT;
	if (r != 0 && r != -ENOMEM && text[0] != ':')
		r = zone_from_rule(text, ret_zone);
	if (r == 0 || r == -ENOMEM)
		return r;
	return fault_set(ret_fault, -EINVAL,
			 "TZ=%s in the environment names no time zone (say timezone: here)",
			 QUOTED_TEXT(text));
}

int zone_load(const char *name, struct zone **ret_zone, struct fault *ret_fault)
{
	const char *variable = getenv("TZ");

	if (name)
		return by_name(name, ret_zone, ret_fault);
	if (variable)
		return by_variable(variable, ret_zone, ret_fault);
	int r = read_file("/etc/localtime", ret_zone);
	if (r == -ENOENT) {
		*ret_zone = NULL;
		r = 0;
	}
	return r == 0 || r == -ENOMEM
		       ? r
		       : fault_set(ret_fault, -EINVAL,
				   "/etc/localtime is no time zone that can be used (say timezone: here)");
}

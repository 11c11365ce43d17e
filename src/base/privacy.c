/* A process that knows a password must not be readable for the handlers that run as the same user: without
 * the dumpable flag the kernel refuses them ptrace, /proc/PID/mem and /proc/PID/environ, and writes no core.
 */
#include "base/privacy.h"

#include <sys/prctl.h>

void privacy_set(bool closed)
{
	(void)prctl(PR_SET_DUMPABLE, closed ? 0 : 1, 0, 0, 0);
}

/* Where Redis is: a matter of the domain, since the configuration parses it too; src/redis implements it. */
#pragma once

#include "domain/target.h"

#!/bin/sh
# A handler for `mode: persistent` in sh: one line of JSON on stdin for each entry, one line of JSON back on fd 3.
# sh knows no JSON: the ID is cut out of the line, whose first member it always is. What a job does goes into work().
set -eu

work()
{
	: "$1"
}

while IFS= read -r line; do
	id=${line#*'"id":"'}
	id=${id%%'"'*}
	if work "$line"; then
		printf '{"id":"%s","status":"ok"}\n' "$id" >&3
	else
		printf '{"id":"%s","status":"retry","reason":"work failed"}\n' "$id" >&3
	fi
done

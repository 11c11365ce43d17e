#!/bin/sh
# A handler for `mode: batch` in sh: a line of JSON on stdin for each entry. Its exit code is for all of them, but for those that it has said
# something of on fd 3, one line of JSON each.
set -eu
while IFS= read -r line; do
	id=${line#*'"id":"'}
	id=${id%%'"'*}
	case $line in
	*'"broken":'*) printf '{"id":"%s","status":"dead","reason":"broken"}\n' "$id" >&3 ;;
	esac
done

# Turns src/lua/*.lua into the C table that src/redis/scripts_gen.h declares: one row a file, named after it.
# Usage: awk -f embed-lua.awk FILE.lua ... > scripts_gen.c     (the order of the files is the order of the rows)
#
# A line that is only a comment is sent to Redis as an empty line, so that the line numbers in Redis's own error
# messages still are those of the file. A block comment, --[[ ]], is left alone. A line `-- part: NAME` stands for
# part/NAME.lua beside the file: its code, in that one line.

function close_row()
{
	if (open_row)
		print "\t},"
	open_row = 0
}

function part(path,    code, line, known)
{
	while ((getline line < path) > 0) {
		known = 1
		sub(/[ \t]*--.*$/, "", line)
		sub(/^[ \t]+/, "", line)
		if (line != "")
			code = code (code == "" ? "" : " ") line
	}
	close(path)
	if (!known) {
		print "embed-lua.awk: " FILENAME ":" FNR ": there is no " path > "/dev/stderr"
		exit 1
	}
	return code
}

BEGIN {
	print "/* Made from src/lua by build-aux/embed-lua.awk: do not edit. */"
	print "#include <stddef.h>"
	print ""
	print "#include \"redis/scripts_gen.h\""
	print ""
	print "const struct script_source script_sources[] = {"
}

FNR == 1 {
	close_row()
	name = FILENAME
	sub(/^.*\//, "", name)
	sub(/\.lua$/, "", name)
	printf "\t{\n\t\t\"%s\",\n", name
	open_row = 1
}

{
	line = $0
	if (line ~ /^-- part: [a-z_]+$/) {
		folder = FILENAME
		sub(/[^\/]*$/, "", folder)
		line = part(folder "part/" substr(line, 10) ".lua")
	}
	if (line ~ /^[ \t]*--/ && line !~ /^[ \t]*--\[/)
		line = ""
	gsub(/\\/, "&&", line)
	gsub(/"/, "\\\"", line)
	gsub(/\t/, "\\t", line)
	printf "\t\t\"%s\\n\"\n", line
}

END {
	close_row()
	print "\t{ NULL, NULL },"
	print "};"
}

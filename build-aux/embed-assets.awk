# Turns the files of the report's page into the C table that src/report/assets.h declares: one row a file, named after it.
# Usage: LC_ALL=C awk -f embed-assets.awk NAME=FILE ... > assets_gen.c     (what stands before = is the row's name)
#
# Strings, a piece a line: compilers read them quickly, and every one can. What is not plain ASCII becomes octal escapes.

BEGIN {
	for (i = 1; i < 256; i++) {
		c = sprintf("%c", i)
		escape[c] = (i < 32 || i > 126) ? sprintf("\\%03o", i) : c
	}
	escape["\\"] = "\\\\"
	escape["\""] = "\\\""
	escape["?"] = "\\?" # no trigraphs
	print "/* Made by build-aux/embed-assets.awk: do not edit. */"
	print "#include \"report/assets.h\""
	print ""
	print "const struct asset assets[] = {"
	status = 0
	for (i = 1; i < ARGC; i++)
		embed(ARGV[i])
	print "\t{ NULL, NULL, 0 },"
	print "};"
	exit status
}

function embed(argument,	name, file, line, size, length_, at, piece, text, k, got)
{
	name = substr(argument, 1, index(argument, "=") - 1)
	file = substr(argument, index(argument, "=") + 1)
	printf "\t{ \"%s\",\n", name
	size = 0
	while ((got = (getline line < file)) > 0) {
		length_ = length(line)
		for (at = 1; at <= length_; at += 100) {
			piece = substr(line, at, 100)
			text = ""
			for (k = 1; k <= length(piece); k++)
				text = text escape[substr(piece, k, 1)]
			printf "\t\t\"%s\"\n", text
		}
		print "\t\t\"\\n\""
		size += length_ + 1
	}
	if (got < 0 || size == 0) {
		print "embed-assets: cannot read " file > "/dev/stderr"
		status = 1
	}
	close(file)
	printf "\t\t, %d },\n", size
}

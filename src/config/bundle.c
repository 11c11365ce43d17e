/* A source in a sealed memory file: "xackdcf1", then fields, each a length of four bytes and that many bytes.
 * Written and read by the same binary on one machine, yet read as if a stranger had written it. The readers
 * share one file offset: it is never used. */
#include "config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fd.h"

static const char magic[8] = { 'x', 'a', 'c', 'k', 'd', 'c', 'f', '1' };

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };
enum { BUNDLE_MAX_BYTES = 128 * 1024 * 1024, TEXTS_MAX = 10000 };

static void put_number(struct buf *out, size_t number)
{
	uint32_t n = (uint32_t)number;

	buf_add(out, &n, sizeof(n));
}

static void put_field(struct buf *out, const char *text, size_t length)
{
	put_number(out, length);
	buf_add(out, text, length);
}

static void put_text(struct buf *out, const struct config_text *text)
{
	const char *fault = text->fault ? text->fault : "";

	put_field(out, text->name, strlen(text->name));
	put_field(out, fault, strlen(fault));
	put_number(out, text->named.line);
	put_number(out, text->named.column);
	put_field(out, text->text ? text->text : "", text->text ? text->length : 0);
}

int config_source_to_memfd(const struct config_source *s, int *ret_fd)
{
	AUTO_BUF bundle = { 0 };

	buf_add(&bundle, magic, sizeof(magic));
	put_field(&bundle, s->file, strlen(s->file));
	put_field(&bundle, s->folder, strlen(s->folder));
	put_field(&bundle, s->host, strlen(s->host));
	put_number(&bundle, s->cpus);
	put_number(&bundle, s->count);
	for (size_t i = 0; i < s->count; i++)
		put_text(&bundle, &s->texts[i]);
	if (bundle.failed)
		return -ENOMEM;

	AUTO_FD fd = memfd_create("xackd.yaml", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	int r = fd_write_all(fd, buf_bytes(&bundle));
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* What is left to read. */
struct reader {
	const char *p;
	size_t left;
	bool bad;
};

static size_t get_number(struct reader *in)
{
	uint32_t n = 0;

	if (in->left < sizeof(n)) {
		in->bad = true;
		return 0;
	}
	memcpy(&n, in->p, sizeof(n));
	in->p += sizeof(n);
	in->left -= sizeof(n);
	return n;
}

/* A copy with a NUL behind it, or NULL (bad, or no memory). */
static char *get_field(struct reader *in, size_t *ret_length)
{
	size_t length = get_number(in);

	if (in->bad || length > in->left) {
		in->bad = true;
		return NULL;
	}
	char *copy = malloc(length + 1);
	if (!copy)
		return NULL;
	memcpy(copy, in->p, length);
	copy[length] = '\0';
	in->p += length;
	in->left -= length;
	if (ret_length)
		*ret_length = length;
	return copy;
}

static bool get_text(struct reader *in, struct config_text *text)
{
	text->name = get_field(in, NULL);
	text->fault = text->name ? get_field(in, NULL) : NULL;
	if (!text->fault)
		return false;
	text->named.line = (unsigned)get_number(in);
	text->named.column = (unsigned)get_number(in);
	text->text = get_field(in, &text->length);
	if (!text->text)
		return false;
	if (text->fault[0]) {
		free(TAKE(text->text));
		text->length = 0;
	} else {
		free(TAKE(text->fault));
	}
	return true;
}

static int get_source(struct reader *in, struct config_source *s)
{
	s->file = get_field(in, NULL);
	s->folder = s->file ? get_field(in, NULL) : NULL;
	s->host = s->folder ? get_field(in, NULL) : NULL;
	if (!s->host)
		return in->bad ? -EINVAL : -ENOMEM;

	s->cpus = (unsigned)get_number(in);
	size_t count = get_number(in);
	if (in->bad || count == 0 || count > TEXTS_MAX)
		return -EINVAL;
	s->texts = calloc(count, sizeof(*s->texts));
	if (!s->texts)
		return -ENOMEM;
	while (s->count < count) {
		if (!get_text(in, &s->texts[s->count++]))
			return in->bad ? -EINVAL : -ENOMEM;
	}
	return in->left == 0 && s->texts[0].text ? 0 : -EINVAL;
}

int config_source_from_fd(int fd, struct config_source **ret_source)
{
	struct stat status;

	/* Sealed: nobody cuts it short under the mapping. */
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS)
		return -EINVAL;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size < (off_t)sizeof(magic) || status.st_size > BUNDLE_MAX_BYTES)
		return -EINVAL;

	size_t size = (size_t)status.st_size;
	void *mapping = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (mapping == MAP_FAILED)
		return -errno;

	struct reader in = { (const char *)mapping + sizeof(magic), size - sizeof(magic), false };
	struct config_source *s = calloc(1, sizeof(*s));
	if (s)
		s->handed_on = true;
	int r = !s ? -ENOMEM : memcmp(mapping, magic, sizeof(magic)) != 0 ? -EINVAL : get_source(&in, s);

	(void)munmap(mapping, size);
	if (r < 0) {
		config_source_free(s);
		return r;
	}
	*ret_source = s;
	return 0;
}

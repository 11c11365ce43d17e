/* The arena: chunks of zeroed memory, filled from their start. A chunk is large enough that malloc maps it:
 * what is never written costs nothing, and what is freed goes back to the system. With AddressSanitizer each
 * piece is a chunk of its own, so that it sees every overrun. */
#include "config/arena.h"

#include <stdint.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#ifdef __SANITIZE_ADDRESS__
enum { CHUNK_SIZE = 1 };
#else
enum { CHUNK_SIZE = 256 * 1024 };
#endif

enum { ALIGNMENT = _Alignof(max_align_t) };

struct arena_chunk {
	struct arena_chunk *older;
	size_t size;
	size_t used;
	_Alignas(max_align_t) char data[];
};

static struct arena_chunk *arena_new_chunk(struct arena *a, size_t size)
{
	if (size < CHUNK_SIZE)
		size = CHUNK_SIZE;

	struct arena_chunk *chunk = calloc(1, sizeof(*chunk) + size);
	if (!chunk)
		return NULL;
	chunk->size = size;
	chunk->older = a->chunk;
	a->chunk = chunk;
	return chunk;
}

void *arena_alloc(struct arena *a, size_t size)
{
	if (size > SIZE_MAX / 2)
		return NULL;

	size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (size == 0)
		size = ALIGNMENT;

	struct arena_chunk *chunk = a->chunk;
	if (!chunk || chunk->size - chunk->used < size) {
		chunk = arena_new_chunk(a, size);
		if (!chunk)
			return NULL;
	}
	void *piece = chunk->data + chunk->used;
	chunk->used += size;
	return piece;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	return arena_alloc(a, total);
}

char *arena_text(struct arena *a, const char *text, size_t length)
{
	char *copy = arena_alloc(a, length + 1);

	if (copy && length)
		memcpy(copy, text, length);
	return copy;
}

void arena_done(struct arena *a)
{
	while (a->chunk) {
		struct arena_chunk *older = a->chunk->older;

		free(a->chunk);
		a->chunk = older;
	}
}

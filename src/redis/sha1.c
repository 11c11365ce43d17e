/* SHA-1 after RFC 3174. Redis names a script by the SHA-1 of its text; nothing here is a matter of security. */
#include <stdint.h>

#include "redis/scripts.h"

static uint32_t rotate(uint32_t value, unsigned bits)
{
	return (value << bits) | (value >> (32 - bits));
}

static void sha1_block(uint32_t h[5], const unsigned char *p)
{
	uint32_t w[80];
	uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (size_t i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (size_t i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (size_t i = 0; i < 80; i++) {
		uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 ? b ^ c ^ d : i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
		uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
		uint32_t t = rotate(a, 5) + f + e + k + w[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = t;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

void sha1_hex(struct bytes data, char ret_hash[SCRIPT_HASH_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	const unsigned char *p = (const unsigned char *)data.p;
	unsigned char tail[128] = { 0 };
	size_t whole = data.n / 64 * 64, rest = data.n - whole;
	size_t tail_n = rest < 56 ? 64 : 128;
	uint64_t bits = (uint64_t)data.n * 8;

	for (size_t i = 0; i < whole; i += 64)
		sha1_block(h, p + i);
	if (rest > 0)
		memcpy(tail, p + whole, rest);
	tail[rest] = 0x80;
	for (size_t i = 0; i < 8; i++)
		tail[tail_n - 1 - i] = (unsigned char)(bits >> (8 * i));
	for (size_t i = 0; i < tail_n; i += 64)
		sha1_block(h, tail + i);
	for (size_t i = 0; i < 40; i++)
		ret_hash[i] = digits[h[i / 8] >> (28 - 4 * (i % 8)) & 15];
	ret_hash[40] = '\0';
}

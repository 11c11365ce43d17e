/* Puts the page together. What comes from the log goes into it in two ways only: the key figures, escaped as
 * HTML, and the data, as JSON in which no character is left that HTML could act upon; the script shows it as
 * text. Scripts and styles run only with the page's nonce, which nobody could know who wrote into the log. */
#include "report/page.h"

#include <string.h>

#include "base/fd.h"
#include "report/assets.h"

static struct bytes asset(const char *name)
{
	const struct asset *a = assets;
	while (a->name && strcmp(a->name, name) != 0)
		a++;
	return (struct bytes){ a->text, a->size };
}

static void add_html(struct buf *out, struct bytes text)
{
	for (size_t i = 0; i < text.n; i++) {
		switch (text.p[i]) {
		case '<':
			buf_add_text(out, "&lt;");
			break;
		case '>':
			buf_add_text(out, "&gt;");
			break;
		case '&':
			buf_add_text(out, "&amp;");
			break;
		case '"':
			buf_add_text(out, "&quot;");
			break;
		default:
			buf_add_char(out, text.p[i]);
		}
	}
}

/* In JSON these stand only inside of strings, where an escape says the same. The line separators are escaped
 * already. */
static void add_json_in_html(struct buf *out, struct bytes json)
{
	for (size_t i = 0; i < json.n; i++) {
		char c = json.p[i];
		if (c == '<' || c == '>' || c == '&')
			buf_addf(out, "\\u%04x", (unsigned)c);
		else
			buf_add_char(out, c);
	}
}

/* ---- what stands in the template's places ---- */

struct page {
	const struct digest *digest;
	const struct digest_source *source;
	const struct report_page_options *options;
	char nonce[REPORT_NONCE_SIZE];
};

static void add_nonce(struct buf *out, const struct page *p)
{
	buf_add_text(out, p->nonce);
}

void report_page_policy(struct buf *out, bool live, const char *nonce)
{
	buf_addf(out,
		 "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; img-src data:; "
		 "connect-src %s; "
		 "base-uri 'none'; form-action 'none'",
		 nonce, nonce, live ? "'self'" : "'none'");
}

static void add_policy(struct buf *out, const struct page *p)
{
	report_page_policy(out, p->options->live, p->nonce);
}

static void add_live(struct buf *out, const struct page *p)
{
	buf_add_text(out, p->options->live ? "yes" : "no");
}

static void add_figures(struct buf *out, const struct page *p)
{
	struct digest_figure figures[DIGEST_FIGURES];
	size_t n = digest_figures(p->digest, figures);
	for (size_t i = 0; i < n; i++) {
		buf_addf(out, "<div class=\"figure %s\"><dt>", figures[i].tone);
		add_html(out, bytes_of(figures[i].label));
		buf_add_text(out, "</dt><dd><b>");
		add_html(out, bytes_of(figures[i].value));
		buf_add_text(out, "</b><small>");
		add_html(out, bytes_of(figures[i].note));
		buf_add_text(out, "</small></dd></div>\n");
	}
}

static void add_data(struct buf *out, const struct page *p)
{
	AUTO_BUF json = { 0 };
	digest_write_json(&json, p->digest, p->source);
	add_json_in_html(out, buf_bytes(&json));
	out->failed = out->failed || json.failed;
}

static void add_style(struct buf *out, const struct page *p)
{
	(void)p;
	buf_add_bytes(out, asset("page.css"));
}

static void add_chart(struct buf *out, const struct page *p)
{
	(void)p;
	buf_add_bytes(out, asset("chart.js"));
}

static void add_script(struct buf *out, const struct page *p)
{
	(void)p;
	buf_add_bytes(out, asset("page.js"));
	buf_add_bytes(out, asset("charts.js"));
	buf_add_bytes(out, asset("tables.js"));
}

static const struct {
	const char *name;
	void (*add)(struct buf *out, const struct page *p);
} places[] = {
	{ "nonce", add_nonce }, { "policy", add_policy }, { "live", add_live },   { "figures", add_figures },
	{ "data", add_data },   { "style", add_style },   { "chart", add_chart }, { "script", add_script },
};

/* A place in the template is written {{name}}. */
static void fill_place(struct buf *out, const struct page *p, struct bytes name)
{
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (bytes_eq(name, bytes_of(places[i].name)))
			places[i].add(out, p);
	}
}

void report_page(struct buf *out, const struct digest *t, const struct digest_source *source,
		 const struct report_page_options *options)
{
	struct page page = { .digest = t, .source = source, .options = options };
	struct bytes rest = asset("page.html");
	if (options->nonce[0])
		memcpy(page.nonce, options->nonce, sizeof(page.nonce));
	else
		fd_random_hex(page.nonce, (REPORT_NONCE_SIZE - 1) / 2);
	for (;;) {
		const char *begin = memmem(rest.p, rest.n, "{{", 2);
		const char *end = begin ? memmem(begin, rest.n - (size_t)(begin - rest.p), "}}", 2) : NULL;
		if (!end)
			break;
		buf_add(out, rest.p, (size_t)(begin - rest.p));
		fill_place(out, &page, (struct bytes){ begin + 2, (size_t)(end - begin - 2) });
		rest = (struct bytes){ end + 2, rest.n - (size_t)(end + 2 - rest.p) };
	}
	buf_add_bytes(out, rest);
}

/*
 * A reader for the JSON of the control channel. It works on text in memory: a
 * message is checked once as a whole, then values are found in it by name.
 * Strict means that only JSON by RFC 8259 passes, and that a value of another
 * type than the one asked for is an error. Unknown names are ignored, as the
 * other end of the channel does too.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* json is a piece of text that holds one value; at is NULL if there is none. */
struct json {
	const char *at, *end;
};

enum { JSON_DEPTH = 32 };

static const char *json_value(const char *p, const char *end, int depth);

static const char *json_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

/* Each of these skips one element and returns what follows it, or NULL. */

static const char *json_string(const char *p, const char *end)
{
	if (p == end || *p++ != '"')
		return NULL;
	while (p < end && *p != '"') {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p++ != '\\')
			continue;
		if (p == end || !*p || !strchr("\"\\/bfnrtu", *p))
			return NULL;
		if (*p++ == 'u')
			for (int i = 0; i < 4; i++, p++)
				if (p == end || !*p || !strchr("0123456789abcdefABCDEF", *p))
					return NULL;
	}
	return p < end ? p + 1 : NULL;
}

static const char *json_digits(const char *p, const char *end)
{
	const char *first = p;
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p == first ? NULL : p;
}

static const char *json_number(const char *p, const char *end)
{
	if (p < end && *p == '-')
		p++;
	const char *first = p;
	if (!(p = json_digits(p, end)) || (*first == '0' && p > first + 1))
		return NULL;
	if (p < end && *p == '.' && !(p = json_digits(p + 1, end)))
		return NULL;
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		p = json_digits(p, end);
	}
	return p;
}

/* json_members skips what is between brackets; names are in objects only. */
static const char *json_members(const char *p, const char *end, char close, bool names, int depth)
{
	p = json_space(p, end);
	if (p < end && *p == close)
		return p + 1;
	for (;;) {
		if (names) {
			if (!(p = json_string(json_space(p, end), end)))
				return NULL;
			p = json_space(p, end);
			if (p == end || *p++ != ':')
				return NULL;
		}
		if (!(p = json_value(p, end, depth)))
			return NULL;
		p = json_space(p, end);
		if (p == end)
			return NULL;
		if (*p == close)
			return p + 1;
		if (*p++ != ',')
			return NULL;
	}
}

static const char *json_value(const char *p, const char *end, int depth)
{
	static const char *const words[] = {"true", "false", "null"};
	p = json_space(p, end);
	if (p == end || depth == JSON_DEPTH)
		return NULL;
	switch (*p) {
	case '{':
		return json_members(p + 1, end, '}', true, depth + 1);
	case '[':
		return json_members(p + 1, end, ']', false, depth + 1);
	case '"':
		return json_string(p, end);
	}
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		size_t n = strlen(words[i]);
		if ((size_t)(end - p) >= n && !memcmp(p, words[i], n))
			return p + n;
	}
	return json_number(p, end);
}

/* json_parse checks a whole text. */
static bool json_parse(const char *text, size_t n, struct json *out)
{
	const char *end = text + n, *p = json_value(text, end, 0);
	*out = (struct json){json_space(text, end), p};
	return p && json_space(p, end) == end;
}

/* json_get finds a member of an object; if a name is there twice, the last. */
static struct json json_get(struct json object, const char *name)
{
	struct json found = {NULL, NULL};
	if (!object.at || *object.at != '{')
		return found;
	size_t n = strlen(name);
	const char *p = json_space(object.at + 1, object.end);
	while (*p != '}') {
		const char *key = p + 1;
		p = json_string(p, object.end);
		bool same = (size_t)(p - 1 - key) == n && !memcmp(key, name, n);
		p = json_space(json_space(p, object.end) + 1, object.end); /* the colon */
		const char *value = p;
		p = json_value(p, object.end, 0);
		if (same)
			found = (struct json){value, p};
		p = json_space(p, object.end);
		if (*p == ',')
			p = json_space(p + 1, object.end);
	}
	return found;
}

/* json_absent tells whether a value is not there, or null. */
static bool json_absent(struct json v) { return !v.at || *v.at == 'n'; }

/* json_int reads a whole number; absent leaves *out alone. */
static bool json_int(struct json v, long long *out)
{
	if (json_absent(v))
		return true;
	char digits[24], *end;
	size_t n = (size_t)(v.end - v.at);
	if (n >= sizeof digits || strcspn(v.at, "0123456789") > 1)
		return false;
	memcpy(digits, v.at, n);
	digits[n] = 0;
	errno = 0;
	long long value = strtoll(digits, &end, 10);
	if (errno || *end || end == digits)
		return false;
	*out = value;
	return true;
}

static unsigned json_hex(const char *p)
{
	char digits[5] = {p[0], p[1], p[2], p[3], 0};
	return (unsigned)strtoul(digits, NULL, 16);
}

/* json_text decodes a string as UTF-8; absent leaves out alone. */
static bool json_text(struct json v, char *out, size_t room)
{
	if (json_absent(v))
		return true;
	if (*v.at != '"')
		return false;
	size_t n = 0;
	for (const char *p = v.at + 1; p < v.end - 1; p++) {
		unsigned code = (unsigned char)*p;
		char bytes[4];
		size_t length = 1;
		bytes[0] = *p;
		if (code == '\\') {
			static const char escapes[] = "bfnrt", meanings[] = "\b\f\n\r\t";
			const char *known = strchr(escapes, *++p);
			bytes[0] = known ? meanings[known - escapes] : *p;
			if (*p == 'u') {
				code = json_hex(p + 1);
				p += 4;
				if (code >= 0xd800 && code < 0xdc00 && p + 6 < v.end && p[1] == '\\' && p[2] == 'u') {
					unsigned low = json_hex(p + 3);
					if (low < 0xdc00 || low > 0xdfff)
						return false;
					code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
					p += 6;
				}
				if (code == 0 || (code >= 0xd800 && code < 0xe000))
					return false; /* no text of a configuration */
				if (code < 0x80) {
					bytes[0] = (char)code;
				} else if (code < 0x800) {
					bytes[0] = (char)(0xc0 | code >> 6);
					bytes[1] = (char)(0x80 | (code & 63));
					length = 2;
				} else if (code < 0x10000) {
					bytes[0] = (char)(0xe0 | code >> 12);
					bytes[1] = (char)(0x80 | (code >> 6 & 63));
					bytes[2] = (char)(0x80 | (code & 63));
					length = 3;
				} else {
					bytes[0] = (char)(0xf0 | code >> 18);
					bytes[1] = (char)(0x80 | (code >> 12 & 63));
					bytes[2] = (char)(0x80 | (code >> 6 & 63));
					bytes[3] = (char)(0x80 | (code & 63));
					length = 4;
				}
			}
		}
		if (n + length >= room)
			return false;
		memcpy(out + n, bytes, length);
		n += length;
	}
	out[n] = 0;
	return true;
}

/* text is a growing piece of JSON that is going to be sent. */
struct text {
	char *at;
	size_t n, room;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
	for (;;) {
		va_list args;
		va_start(args, format);
		int n = vsnprintf(t->at ? t->at + t->n : NULL, t->room - t->n, format, args);
		va_end(args);
		if (n >= 0 && t->n + (size_t)n < t->room) {
			t->n += (size_t)n;
			return;
		}
		t->room = 2 * t->room + 4096;
		t->at = realloc(t->at, t->room);
		if (n < 0 || !t->at)
			abort();
	}
}

static void put_string(struct text *t, const char *s)
{
	put(t, "\"");
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			put(t, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			put(t, "\\u%04x", (unsigned char)*s);
		else
			put(t, "%c", *s);
	}
	put(t, "\"");
}

/*
 * The reference client: a closed loop over many connections to an echo server,
 * driven by one edge-triggered epoll loop on one thread. It is the cheapest
 * generator that is plain to write in C and still does the whole job: it checks
 * the length and the content of every reply, reads the clock once for each event
 * and records every latency in a histogram.
 *
 *     client ADDRESS PORT CONNECTIONS SIZE
 *
 * ADDRESS is numeric, SIZE the bytes of a request. It connects, prints "ready",
 * and then obeys lines on its standard input:
 *
 *     run REQUESTS MILLISECONDS
 *
 * sends so many requests in all, one outstanding on each connection, and waits
 * for the replies; after so many milliseconds it sends no more. It answers with
 *
 *     REQUESTS ELAPSED CPU P50 P99
 *
 * the number of replies, and in nanoseconds the time from the first send to the
 * last reply, the CPU time of this process in between, and two quantiles of all
 * latencies since it connected. It ends at the end of its input, at the first failure (status 1), and
 * by an alarm if it is left alone or a run does not end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	PATTERN = 65521, /* prime, so that no size divides it */
	BUFFER = 64 << 10,
	EVENTS = 256,
	SUB_BITS = 10, /* 1024 buckets for each power of two: three digits */
	MAX_BITS = 42, /* latencies up to 73 minutes */
	DRAIN_MS = 2000,
	IDLE_SECONDS = 120,
	DIAL_SECONDS = 30,
};

struct conn {
	int fd;
	uint32_t tx;   /* place in the pattern of the next byte to send */
	uint32_t rx;   /* and of the next byte expected */
	uint32_t part; /* bytes of the reply that have come */
	uint32_t owed; /* bytes of the request still to be sent */
	int waiting;   /* a reply is outstanding */
	int64_t sent;  /* when the request began */
};

static char *pattern; /* PATTERN bytes, and then its beginning once more */
static char buffer[BUFFER];
static uint64_t histogram[(MAX_BITS - SUB_BITS + 1) << SUB_BITS];
static struct conn *conns;
static unsigned nconns, size;
static int ep;
static uint64_t quota, replies, outstanding, recorded;

static void fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("reference client: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static int64_t read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Buckets are as wide as 2^shift, so that a value keeps SUB_BITS+1 bits. */
static unsigned bucket_of(uint64_t v)
{
	unsigned bits = 64 - __builtin_clzll(v | 1);
	unsigned shift = bits > SUB_BITS + 1 ? bits - SUB_BITS - 1 : 0;
	return (shift << SUB_BITS) + (unsigned)(v >> shift);
}

static uint64_t bucket_value(unsigned b)
{
	unsigned shift = b >> SUB_BITS;
	if (shift == 0)
		return b;
	shift--; /* the first power of two takes two rows */
	return (uint64_t)(b - (shift << SUB_BITS)) << shift;
}

static void record(int64_t ns)
{
	if (ns < 0 || ns >> MAX_BITS != 0)
		fail("a latency of %lld ns", (long long)ns);
	histogram[bucket_of((uint64_t)ns)]++;
	recorded++;
}

static uint64_t quantile(double q)
{
	uint64_t rank = (uint64_t)(q * (double)recorded), seen = 0;
	for (unsigned b = 0; b < sizeof histogram / sizeof *histogram; b++)
		if ((seen += histogram[b]) > rank)
			return bucket_value(b);
	return 0;
}

static void make_pattern(void)
{
	uint64_t x = 0x9e3779b97f4a7c15; /* xorshift64, Marsaglia 2003 */
	pattern = malloc(PATTERN + size);
	if (pattern == NULL)
		fail("out of memory");
	for (unsigned i = 0; i < PATTERN; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		pattern[i] = (char)(x >> 32);
	}
	memcpy(pattern + PATTERN, pattern, size); /* size is at most PATTERN */
}

static void flush(struct conn *c)
{
	while (c->owed > 0) {
		ssize_t n = send(c->fd, pattern + c->tx, c->owed, MSG_NOSIGNAL);
		if (n < 0) {
			if (errno == EAGAIN)
				return; /* an edge will tell when there is room */
			if (errno == EINTR)
				continue;
			fail("send: %s", strerror(errno));
		}
		c->owed -= (uint32_t)n;
		c->tx += (uint32_t)n;
		if (c->tx >= PATTERN)
			c->tx -= PATTERN;
	}
}

static void begin(struct conn *c, int64_t now)
{
	if (quota == 0)
		return;
	quota--;
	outstanding++;
	c->waiting = 1;
	c->sent = now;
	c->owed = size;
	flush(c);
}

/* Takes a piece of a reply, and sends the next request when it was the last. */
static void take(struct conn *c, const char *b, uint32_t n)
{
	int64_t now = read_clock(CLOCK_MONOTONIC);
	if (!c->waiting || n > size - c->part)
		fail("%u bytes came that no request had asked for", n);
	if (memcmp(b, pattern + c->rx, n) != 0)
		fail("the reply differs from the request");
	c->rx += n;
	if (c->rx >= PATTERN)
		c->rx -= PATTERN;
	c->part += n;
	if (c->part < size)
		return;
	record(now - c->sent);
	replies++;
	outstanding--;
	c->part = 0;
	c->waiting = 0;
	begin(c, now);
}

static void receive(struct conn *c, uint32_t events)
{
	for (;;) {
		ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
		if (n < 0) {
			if (errno == EAGAIN)
				return;
			if (errno == EINTR)
				continue;
			fail("receive: %s", strerror(errno));
		}
		if (n == 0)
			fail("the server closed a connection");
		take(c, buffer, (uint32_t)n);
		/* A short read has emptied the socket; more raises a new edge. */
		if ((size_t)n < sizeof buffer && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
			return;
	}
}

static void poll_events(int timeout_ms)
{
	static struct epoll_event events[EVENTS];
	int n = epoll_wait(ep, events, EVENTS, timeout_ms);
	if (n < 0 && errno != EINTR)
		fail("epoll_wait: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		struct conn *c = &conns[events[i].data.u32];
		if (c->owed > 0 && events[i].events & EPOLLOUT)
			flush(c);
		if (events[i].events & ~(uint32_t)EPOLLOUT)
			receive(c, events[i].events);
	}
}

static void run(uint64_t requests, int64_t ms)
{
	int64_t cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID);
	int64_t start = read_clock(CLOCK_MONOTONIC), now = start;
	int64_t end = start + ms * 1000000;
	int stopped = 0;

	quota = requests;
	replies = 0;
	for (unsigned i = 0; i < nconns && quota > 0; i++)
		begin(&conns[i], read_clock(CLOCK_MONOTONIC));
	while (outstanding > 0) {
		poll_events(now < end ? (int)((end - now) / 1000000 + 1) : 0);
		now = read_clock(CLOCK_MONOTONIC);
		if (now < end)
			continue;
		if (stopped)
			fail("no reply to %llu requests", (unsigned long long)outstanding);
		stopped = 1;
		quota = 0;
		end += DRAIN_MS * INT64_C(1000000);
	}
	now = read_clock(CLOCK_MONOTONIC);
	cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	quota = 0;
	printf("%llu %lld %lld %llu %llu\n", (unsigned long long)replies,
	       (long long)(now - start), (long long)cpu,
	       (unsigned long long)quantile(0.5), (unsigned long long)quantile(0.99));
}

static void dial_all(const char *address, int port)
{
	struct sockaddr_storage to;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&to;
	socklen_t len;
	int one = 1;

	memset(&to, 0, sizeof to);
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		len = sizeof *v4;
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		len = sizeof *v6;
	} else {
		fail("address \"%s\" is not numeric", address);
	}
	for (unsigned i = 0; i < nconns; i++) {
		struct conn *c = &conns[i];
		struct epoll_event ev = {
			.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
			.data.u32 = i,
		};
		/* It blocks until connected, and not after that. */
		c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (c->fd < 0 ||
		    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
		    connect(c->fd, (struct sockaddr *)&to, len) != 0)
			fail("connect to %s port %d: %s", address, port, strerror(errno));
		if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
		    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) != 0)
			fail("set a connection up: %s", strerror(errno));
		/* A place of its own, so that exchanged replies are noticed. */
		c->tx = c->rx = i * UINT32_C(40503) % PATTERN;
	}
}

static long number(const char *s, const char *what, long max)
{
	char *end;
	long n = strtol(s, &end, 10);
	if (*s == 0 || *end != 0 || n < 1 || n > max)
		fail("%s is \"%s\" (want 1 to %ld)", what, s, max);
	return n;
}

int main(int argc, char **argv)
{
	char line[128];
	unsigned long long requests;
	long long ms;
	int port;

	if (argc != 5)
		fail("want ADDRESS PORT CONNECTIONS SIZE, got %d arguments", argc - 1);
	port = (int)number(argv[2], "the port", 65535);
	nconns = (unsigned)number(argv[3], "the number of connections", 1 << 20);
	size = (unsigned)number(argv[4], "the size", PATTERN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	conns = calloc(nconns, sizeof *conns);
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (conns == NULL || ep < 0)
		fail("set up: %s", strerror(errno));
	make_pattern();
	alarm(DIAL_SECONDS);
	dial_all(argv[1], port);
	puts("ready");
	for (;;) {
		alarm(IDLE_SECONDS);
		if (fgets(line, sizeof line, stdin) == NULL)
			return 0;
		if (sscanf(line, "run %llu %lld", &requests, &ms) != 2 ||
		    requests < 1 || ms < 1 || ms > 3600000)
			fail("unknown command: %s", line);
		alarm((unsigned)(ms / 1000 + DRAIN_MS / 1000 + 5));
		run(requests, ms);
	}
}

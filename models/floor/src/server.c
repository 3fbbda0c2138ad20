/*
 * What a server is told, what it listens on, and what it counts: everything that
 * the two programs have in common apart from the control channel.
 */

#include <fcntl.h>
#include <linux/tcp.h> /* its tcp_info has more than that of the C library */
#include <malloc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* PROGRAM is the model's name, defined by the compiler's command line. */

enum limit_policy { LIMIT_WAIT, LIMIT_REJECT };

/* config has its defaults filled in; see models.Config for the meaning. */
struct config {
	char network[8], address[256];
	int read_buffer, loops, backlog, receive_buffer, send_buffer, max_pending;
	bool no_delay;
	long max_conns; /* LONG_MAX for no limit */
	enum limit_policy on_limit;
	long long idle_ns; /* -1 for never */
};

/* counters belong to one loop, and are on cache lines of its own. */
struct counters {
	_Alignas(128) atomic_ulong bytes_in;
	atomic_ulong bytes_out, paused, conn_errors, idle_closed;
};

static struct server {
	struct config config;
	struct counters *counters; /* one for each loop */
	int listener;
	int ended;              /* an event counter that tells when nothing is left to drain */
	char address[128];      /* that it listens on */
	char variant[128];      /* see models.Stats */
	char fallback[256];
	cpu_set_t cpus;

	/* These change when a connection comes or goes. */
	_Alignas(128) atomic_long active;
	atomic_ulong accepted, rejected, accept_errors;
	atomic_int draining, cutting, accepting;
} server;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "%s: ", PROGRAM);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

/* count adds to a counter that one thread writes: no locked instruction. */
static inline void count(atomic_ulong *counter, unsigned long n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static long long milliseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* number reads a field of the configuration; 0 stands for the default. */
static long long number(struct json object, const char *name, long long min, long long max, long long standard)
{
	long long n = 0;
	struct json v = json_get(object, name);
	if (!json_int(v, &n))
		die("Config.%s is %.*s (want a whole number)", name, (int)(v.end - v.at), v.at);
	if (n == 0)
		return standard;
	if (n < min || n > max)
		die("Config.%s is %lld (want %lld to %lld, or 0 for the default)", name, n, min, max);
	return n;
}

static void string(struct json object, const char *what, const char *name, char *out, size_t room)
{
	struct json v = json_get(object, name);
	if (!json_text(v, out, room))
		die("%s%s is %.*s (want a string of less than %zu bytes)", what, name, (int)(v.end - v.at), v.at, room);
}

/* read_spec reads testenv.ServerSpec and refuses what this program cannot do. */
static void read_spec(struct json spec, struct config *c)
{
	char model[64] = PROGRAM, service[64] = "", profile[8] = "";
	if (!spec.at || *spec.at != '{')
		die("the specification of the server is no JSON object");
	string(spec, "", "model", model, sizeof model);
	if (strcmp(model, PROGRAM))
		die("model \"%s\" is another program (this is %s)", model, PROGRAM);
	string(spec, "", "service", service, sizeof service);
	if (strcmp(service, "echo"))
		die("service \"%s\" is not served by the C floor (want echo)", service);
	struct json v = json_get(spec, "cpu_profile");
	if (!json_text(v, profile, sizeof profile) || *profile)
		die("a CPU profile was asked for, which only Go programs write (leave CPUProfile empty)");
	long long procs = 0;
	if (!json_int(json_get(spec, "gomaxprocs"), &procs) || procs < 0)
		die("gomaxprocs is not a number from 0 on");
	v = json_get(spec, "config");
	if (!json_absent(v) && *v.at != '{')
		die("the configuration is no JSON object");

	strcpy(c->network, "tcp");
	string(v, "Config.", "Network", c->network, sizeof c->network);
	if (!*c->network)
		strcpy(c->network, "tcp");
	if (strcmp(c->network, "tcp") && strcmp(c->network, "tcp4") && strcmp(c->network, "tcp6"))
		die("Config.Network is \"%s\" (the C floor listens on tcp, tcp4 or tcp6)", c->network);
	string(v, "Config.", "Address", c->address, sizeof c->address);
	if (!*c->address)
		strcpy(c->address, strcmp(c->network, "tcp6") ? "127.0.0.1:0" : "[::1]:0");
	c->read_buffer = (int)number(v, "ReadBuffer", 1, 16 << 20, 4 << 10);
	if (number(v, "Listeners", 0, 1024, 1) > 1)
		die("Config.Listeners is more than 1 (the C floor listens once, the reuseport model shares an address)");
	c->backlog = (int)number(v, "Backlog", 1, 65535, 0);
	c->receive_buffer = (int)number(v, "RecvBuffer", 1, 1 << 30, 0);
	c->send_buffer = (int)number(v, "SendBuffer", 1, 1 << 30, 0);
	c->max_pending = (int)number(v, "MaxPending", 1, 1 << 30, 64 << 10);
	c->no_delay = number(v, "NoDelay", 0, 2, 1) == 1;
	c->max_conns = (long)number(v, "MaxConns", -1, INT64_MAX, 10000);
	if (c->max_conns < 0)
		c->max_conns = INT64_MAX;
	c->on_limit = number(v, "OnLimit", 0, 1, 0) ? LIMIT_REJECT : LIMIT_WAIT;
	c->idle_ns = number(v, "IdleTimeout", -1, INT64_MAX, 30000000000LL);
	if (c->idle_ns != -1 && c->idle_ns < 1000000)
		die("Config.IdleTimeout is %lld ns (want at least 1 ms, 0 for the default, or -1 for never)", c->idle_ns);
	c->loops = (int)number(v, "Loops", 0, 1024, procs);
	if (!c->loops)
		c->loops = CPU_COUNT(&server.cpus);
}

/* somaxconn is the longest backlog that the host grants. */
static int somaxconn(void)
{
	int n = SOMAXCONN;
	FILE *f = fopen("/proc/sys/net/core/somaxconn", "re");
	if (f) {
		if (fscanf(f, "%d", &n) != 1)
			n = SOMAXCONN;
		fclose(f);
	}
	return n;
}

static void set_option(int fd, int level, int option, int value, const char *name)
{
	if (setsockopt(fd, level, option, &value, sizeof value))
		die("set %s to %d: %s", name, value, strerror(errno));
}

/*
 * listen_at opens the listener. What connections inherit from it on Linux, which
 * is no delay and the sizes of buffers, is set here and costs them no call.
 */
static int listen_at(const struct config *c)
{
	char host[256], *port;
	strcpy(host, c->address);
	if (!(port = strrchr(host, ':')))
		die("Config.Address is \"%s\" (want host:port)", c->address);
	*port++ = 0;
	char *name = host;
	size_t n = strlen(host);
	if (n > 1 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = 0;
		name++;
	}
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST}, *found;
	hints.ai_family = !strcmp(c->network, "tcp4") ? AF_INET : !strcmp(c->network, "tcp6") ? AF_INET6 : AF_UNSPEC;
	if (!*name && hints.ai_family == AF_UNSPEC)
		hints.ai_family = AF_INET6; /* and by it IPv4 as well */
	int why = getaddrinfo(*name ? name : NULL, port, &hints, &found);
	if (why == EAI_NONAME) {
		hints.ai_flags = AI_PASSIVE;
		why = getaddrinfo(*name ? name : NULL, port, &hints, &found);
	}
	if (why)
		die("listen %s: %s", c->address, gai_strerror(why));
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		die("listen %s: %s", c->address, strerror(errno));
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
	if (found->ai_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !strcmp(c->network, "tcp6"), "IPV6_V6ONLY");
	if (c->no_delay)
		set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
	if (c->receive_buffer)
		set_option(fd, SOL_SOCKET, SO_RCVBUF, c->receive_buffer, "SO_RCVBUF");
	if (c->send_buffer)
		set_option(fd, SOL_SOCKET, SO_SNDBUF, c->send_buffer, "SO_SNDBUF");
	if (bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, c->backlog ? c->backlog : somaxconn()))
		die("listen %s: %s", c->address, strerror(errno));
	freeaddrinfo(found);

	struct sockaddr_storage own;
	socklen_t size = sizeof own;
	char digits[8];
	if (getsockname(fd, (struct sockaddr *)&own, &size) ||
	    getnameinfo((struct sockaddr *)&own, size, host, sizeof host, digits, sizeof digits, NI_NUMERICHOST | NI_NUMERICSERV))
		die("listen %s: its own address is unknown", c->address);
	snprintf(server.address, sizeof server.address, own.ss_family == AF_INET6 ? "[%.100s]:%s" : "%.100s:%s", host, digits);
	return fd;
}

/* abandon makes a close throw away what the kernel could not send. */
static void abandon(int fd)
{
	struct linger off = {.l_onoff = 1, .l_linger = 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
}

/* soon_again tells whether an accept that failed may succeed later, see accept(2). */
static bool soon_again(int error)
{
	switch (error) {
	case EMFILE: case ENFILE: case ENOBUFS: case ENOMEM: case EPERM:
	case ECONNABORTED: case EPROTO: case ENOPROTOOPT: case ENETDOWN: case ENETUNREACH:
	case EHOSTDOWN: case EHOSTUNREACH: case ENONET: case EOPNOTSUPP: case ETIMEDOUT: case EINTR:
		return true;
	}
	return false;
}

/* check_drained tells the control channel when nothing is left. */
static void check_drained(void)
{
	uint64_t one = 1;
	if (atomic_load(&server.draining) && !atomic_load(&server.accepting) && !atomic_load(&server.active) &&
	    write(server.ended, &one, sizeof one) < 0)
		die("event counter: %s", strerror(errno));
}

/*
 * await_end is for whoever gives a descriptor's place in the table to its next
 * connection. The loop that ended the last one has emptied the place before it
 * closed the descriptor, so this never waits; it makes the order that the kernel
 * keeps one that the language knows of.
 */
static inline void await_end(atomic_int *owner)
{
	while (atomic_load_explicit(owner, memory_order_acquire))
		sched_yield();
}

/* table_of makes a table with a place for every descriptor that can be open. Its
 * pages are there once they are used. */
static void *table_of(size_t size, size_t *places)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		die("limit of descriptors: %s", strerror(errno));
	*places = limit.rlim_cur < (1 << 20) ? limit.rlim_cur : 1 << 20;
	void *table = mmap(NULL, *places * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED)
		die("table of connections: %s", strerror(errno));
	return table;
}

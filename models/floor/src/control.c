/*
 * The child's end of the control channel, as internal/proc/wire.go defines it:
 * lines of JSON over two pipes. It runs on the first thread, which sleeps while
 * nobody asks anything. The loops run on threads of their own.
 */

#include <dirent.h>
#include <poll.h>
#include <signal.h>

enum {
	PROTOCOL = 1,
	EXIT_ORPHAN = 3,
	MAX_MESSAGE = 16 << 20,
	MAX_SHUTDOWNS = 64, /* calls that wait for the end of one drain */
};

static int channel_in = -1, channel_out = -1;

/* line is one message that was received. */
static struct {
	char *at;
	size_t n, room, taken; /* taken is the length of the line handed out last */
} input;

/* shutdowns are calls that are answered when the drain has ended. */
static struct {
	long long id;
	long long deadline; /* in ms of the monotonic clock */
} shutdowns[MAX_SHUTDOWNS];
static int waiting;

__attribute__((noreturn)) static void orphan(void) { _exit(EXIT_ORPHAN); }

static void send_line(struct text *t)
{
	put(t, "\n");
	for (size_t sent = 0; sent < t->n;) {
		ssize_t n = write(channel_out, t->at + sent, t->n - sent);
		if (n >= 0) {
			sent += (size_t)n;
			continue;
		}
		struct pollfd p = {.fd = channel_out, .events = POLLOUT};
		if (errno != EINTR && (errno != EAGAIN || (poll(&p, 1, -1) < 0 && errno != EINTR)))
			orphan();
	}
	t->n = 0;
}

/* next_line returns a line without its end, or NULL if there is no whole one. */
static char *next_line(void)
{
	if (input.taken)
		memmove(input.at, input.at + input.taken, input.n -= input.taken);
	input.taken = 0;
	char *end = input.n ? memchr(input.at, '\n', input.n) : NULL;
	if (!end)
		return NULL;
	*end = 0;
	input.taken = (size_t)(end - input.at) + 1;
	return input.at;
}

/* receive reads once. At the end of the pipe the parent is gone, and so are we. */
static void receive(void)
{
	if (input.room - input.n < 4096) {
		input.room = 2 * input.room + 16384;
		if (input.room > 2 * MAX_MESSAGE || !(input.at = realloc(input.at, input.room)))
			orphan();
	}
	ssize_t n = read(channel_in, input.at + input.n, input.room - input.n);
	if (n > 0)
		input.n += (size_t)n;
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		orphan();
}

/* message waits for a whole line and takes it apart. */
static void message(struct json *m, char *kind, size_t room)
{
	char *l;
	while (!(l = next_line())) {
		struct pollfd p = {.fd = channel_in, .events = POLLIN};
		poll(&p, 1, -1);
		receive();
	}
	if (!json_parse(l, input.taken - 1, m) || *m->at != '{' || !json_text(json_get(*m, "kind"), kind, room))
		die("not a control message: %.80s", l);
}

static void greet(void)
{
	struct text t = {0};
	struct json m;
	char kind[16] = "", role[32] = "";
	long long speaks = 0, understands = 0;
	put(&t, "{\"kind\":\"hello\",\"body\":{\"protocol\":%d,\"min_protocol\":%d,\"pid\":%d,\"role\":\"server\"}}",
	    PROTOCOL, PROTOCOL, (int)getpid());
	send_line(&t);
	free(t.at);
	message(&m, kind, sizeof kind);
	struct json body = json_get(m, "body");
	if (strcmp(kind, "hello") || !json_int(json_get(body, "protocol"), &speaks) ||
	    !json_int(json_get(body, "min_protocol"), &understands) || !json_text(json_get(body, "role"), role, sizeof role))
		die("the parent began with \"%s\", not with a hello", kind);
	if (understands > PROTOCOL || speaks < PROTOCOL)
		die("control protocol: the parent speaks version %lld (understands %lld and later), this program version %d: run both from the same build",
		    speaks, understands, PROTOCOL);
	if (strcmp(role, "server"))
		die("control protocol: the parent wants role \"%s\", this program is a server", role);
}

static void put_cpus(struct text *t)
{
	cpu_set_t set;
	const char *comma = "";
	if (sched_getaffinity(0, sizeof set, &set))
		set = server.cpus;
	put(t, "\"cpus\":[");
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set)) {
			put(t, "%s%d", comma, i);
			comma = ",";
		}
	put(t, "]");
}

/* put_stats writes models.Stats. */
static void put_stats(struct text *t)
{
	unsigned long in = 0, out = 0, paused = 0, failed = 0, idle = 0;
	for (int i = 0; i < server.config.loops; i++) {
		in += server.counters[i].bytes_in;
		out += server.counters[i].bytes_out;
		paused += server.counters[i].paused;
		failed += server.counters[i].conn_errors;
		idle += server.counters[i].idle_closed;
	}
	put(t, "{\"model\":\"%s\",\"variant\":", PROGRAM);
	put_string(t, server.variant);
	put(t, ",\"fallback\":");
	put_string(t, server.fallback);
	put(t, ",\"accepted\":%lu,\"active\":%ld,\"rejected\":%lu,\"accept_errors\":%lu", server.accepted, server.active,
	    server.rejected, server.accept_errors);
	put(t, ",\"idle_closed\":%lu,\"conn_errors\":%lu,\"paused\":%lu,\"bytes_in\":%lu,\"bytes_out\":%lu}", idle, failed,
	    paused, in, out);
}

/* entries counts what is in a directory of /proc; -1 if it cannot be read. */
static int entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;
	if (!dir)
		return -1;
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

static long long nanoseconds(struct timeval t) { return t.tv_sec * 1000000000LL + t.tv_usec * 1000LL; }

static void put_rusage(struct text *t)
{
	struct rusage r;
	if (getrusage(RUSAGE_SELF, &r))
		return;
	put(t, ",\"rusage\":{\"user_ns\":%lld,\"system_ns\":%lld,\"max_rss\":%ld", nanoseconds(r.ru_utime),
	    nanoseconds(r.ru_stime), r.ru_maxrss << 10);
	put(t, ",\"minor_faults\":%ld,\"major_faults\":%ld,\"voluntary_switches\":%ld,\"involuntary_switches\":%ld}",
	    r.ru_minflt, r.ru_majflt, r.ru_nvcsw, r.ru_nivcsw);
}

/* put_memory writes what smaps_rollup says, which counts pages one by one. */
static void put_memory(struct text *t)
{
	static const struct {
		const char *line, *name;
	} fields[] = {{"Rss: %lu", "rss"}, {"Pss: %lu", "pss"}, {"Anonymous: %lu", "anonymous"}, {"Swap: %lu", "swap"}};
	unsigned long kib[4] = {0}, found = 0;
	char line[128];
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	if (!f)
		return;
	while (fgets(line, sizeof line, f))
		for (int i = 0; i < 4; i++)
			if (sscanf(line, fields[i].line, &kib[i]) == 1)
				found |= 1u << i;
	fclose(f);
	if (found != 15)
		return;
	for (int i = 0; i < 4; i++)
		put(t, "%s\"%s\":%lu", i ? "," : ",\"memory\":{", fields[i].name, kib[i] << 10);
	put(t, "}");
}

/* put_snapshot writes testenv.Snapshot. There is no Go runtime to tell of. */
static void put_snapshot(struct text *t)
{
	struct timespec now;
	struct tm utc;
	char date[32];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
	put(t, "{\"time\":\"%s.%09ldZ\",\"server\":", date, now.tv_nsec);
	put_stats(t);
	put(t, ",\"runtime\":{\"go_version\":\"\"}");
	put_rusage(t);
	put_memory(t);
	/* Less the one that the count itself has open. */
	put(t, ",\"fds\":%d,\"threads\":%d,", entries("/proc/self/fd") - 1, entries("/proc/self/task"));
	put_cpus(t);
	put(t, "}");
}

static void ready(void)
{
	struct text t = {0};
	put(&t, "{\"kind\":\"ready\",\"body\":{\"network\":\"tcp\",\"addr\":");
	put_string(&t, server.address);
	put(&t, ",\"stats\":");
	put_stats(&t);
	put(&t, ",\"go_version\":\"\",\"gomaxprocs\":0,");
	put_cpus(&t);
	put(&t, "}}");
	send_line(&t);
	free(t.at);
}

static void reply_error(struct text *t, long long id, const char *error)
{
	put(t, "{\"kind\":\"reply\",\"id\":%lld,\"error\":", id);
	put_string(t, error);
	put(t, "}");
	send_line(t);
}

static void reply_nothing(struct text *t, long long id)
{
	put(t, "{\"kind\":\"reply\",\"id\":%lld,\"body\":null}", id);
	send_line(t);
}

static void call(struct text *t, long long id, const char *op, struct json body)
{
	if (!strcmp(op, "stats") || !strcmp(op, "runtime")) {
		put(t, "{\"kind\":\"reply\",\"id\":%lld,\"body\":", id);
		if (*op == 's')
			put_snapshot(t);
		else
			put(t, "{\"go_version\":\"\"}");
		put(t, "}");
		send_line(t);
	} else if (!strcmp(op, "collect")) {
#ifdef __GLIBC__ /* others have nothing to give back by call */
		malloc_trim(0);
#endif
		reply_nothing(t, id);
	} else if (!strcmp(op, "shutdown")) {
		long long within = 0;
		if (!json_int(body, &within)) {
			reply_error(t, id, "the time to shut down in is no number of nanoseconds");
		} else if (waiting == MAX_SHUTDOWNS) {
			reply_error(t, id, "too many calls wait for the shutdown already");
		} else {
			shutdowns[waiting].id = id;
			shutdowns[waiting++].deadline = milliseconds() + within / 1000000;
			if (!atomic_exchange(&server.draining, 1))
				engine_wake();
			else
				check_drained();
		}
	} else {
		reply_error(t, id, "unknown operation (known: collect, runtime, shutdown, stats)");
	}
}

/* settle answers the shutdowns that came to an end: all of them, when the server
 * has drained, and those whose time is up, for which everything else is cut. */
static void settle(struct text *t, bool drained, long long cancelled)
{
	int kept = 0;
	for (int i = 0; i < waiting; i++) {
		bool late = milliseconds() >= shutdowns[i].deadline;
		if (drained) {
			reply_nothing(t, shutdowns[i].id);
		} else if (late || shutdowns[i].id == cancelled) {
			if (!atomic_exchange(&server.cutting, 1))
				engine_wake();
			reply_error(t, shutdowns[i].id, late ? "shutdown: not drained in time, so connections were cut" : "shutdown: cancelled, so connections were cut");
		} else {
			shutdowns[kept++] = shutdowns[i];
		}
	}
	waiting = kept;
}

/* nearest is how many milliseconds may pass until a shutdown is late; -1 for any. */
static int nearest(void)
{
	long long least = INT64_MAX;
	for (int i = 0; i < waiting; i++)
		if (shutdowns[i].deadline < least)
			least = shutdowns[i].deadline;
	if (!waiting)
		return -1;
	least -= milliseconds();
	return least < 0 ? 0 : least > 60000 ? 60000 : (int)least;
}

static void converse(void)
{
	struct text t = {0};
	for (;;) {
		char *l;
		while ((l = next_line())) {
			struct json m;
			char kind[16] = "", op[32] = "";
			long long id = 0;
			if (!json_parse(l, input.taken - 1, &m) || !json_text(json_get(m, "kind"), kind, sizeof kind) ||
			    !json_int(json_get(m, "id"), &id))
				die("not a control message: %.80s", l);
			if (!strcmp(kind, "stop")) {
				exit(0);
			} else if (!strcmp(kind, "cancel")) {
				settle(&t, false, id);
			} else if (!strcmp(kind, "call")) {
				if (!json_text(json_get(m, "op"), op, sizeof op))
					strcpy(op, "?"); /* longer than any that is known */
				call(&t, id, op, json_get(m, "body"));
			} else {
				die("the parent sent \"%s\", which this version does not know", kind);
			}
		}
		struct pollfd p[2] = {{.fd = channel_in, .events = POLLIN}, {.fd = server.ended, .events = POLLIN}};
		if (poll(p, 2, nearest()) < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
		uint64_t times = 0;
		bool drained = p[1].revents && read(server.ended, &times, sizeof times) == sizeof times;
		if (waiting)
			settle(&t, drained, -1);
		if (p[0].revents)
			receive();
	}
}

int main(void)
{
	const char *pipes = getenv("NETBENCH_CHILD_PIPES"), *role = getenv("NETBENCH_CHILD_ROLE");
	struct json m;
	char kind[16] = "";
	if (!pipes || !role || sscanf(pipes, "%d,%d", &channel_in, &channel_out) != 2 || fcntl(channel_in, F_SETFD, FD_CLOEXEC) ||
	    fcntl(channel_out, F_SETFD, FD_CLOEXEC))
		die("this program is started by netbench, which gives it a control channel (run netbench race -models goroutine,%s)", PROGRAM);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NAME, "nb-" PROGRAM);
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 1); /* what is owed is allocated on several threads, but seldom */
#endif
	if (sched_getaffinity(0, sizeof server.cpus, &server.cpus))
		die("CPU set: %s", strerror(errno));
	greet();
	message(&m, kind, sizeof kind);
	if (strcmp(kind, "start"))
		die("the parent sent \"%s\", not a start", kind);
	read_spec(json_get(m, "body"), &server.config);
	server.listener = listen_at(&server.config);
	server.ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server.counters = aligned_alloc(_Alignof(struct counters), (size_t)server.config.loops * sizeof(struct counters));
	if (server.ended < 0 || !server.counters)
		die("start: %s", strerror(errno));
	memset(server.counters, 0, (size_t)server.config.loops * sizeof(struct counters));
	atomic_store(&server.accepting, 1);
	engine_start();
	ready();
	converse();
}

/*
 * Echo over epoll: one loop a thread, level-triggered, one read buffer a loop. The
 * first loop accepts and deals connections out in turn, by adding each to the
 * epoll set of the loop that is going to serve it.
 *
 * What an event costs is one read and one write, from and to the same buffer.
 * Nothing is allocated and no clock is read. Only what a write leaves over is
 * kept with the connection, which is then not read from until it has gone.
 */

#include <sys/epoll.h>
#include <sys/timerfd.h>

enum {
	EVENTS = 512,       /* taken by one wait */
	READS = 16,         /* of one connection before the others have their turn */
	ACCEPTS = 128,      /* in one go */
	TICKS = 16,         /* in an idle time-out */
	LINGER_MS = 250,    /* that a drained connection is kept for its peer to read */
	DRAIN_STEP_MS = 25, /* between two looks at connections that linger */
	FIRST_BACKOFF_MS = 5,
	LAST_BACKOFF_MS = 1000,
};

/* phase is what becomes of what a connection receives. */
enum phase { SERVING, DRAINING, LINGERING };

struct conn {
	atomic_int owner;   /* number of its loop from 1 on, 0 while there is no connection */
	uint32_t tick;      /* of its loop, at the last traffic */
	char *owed;         /* what is yet to be written, NULL if nothing */
	uint32_t from, to;  /* which part of it */
	enum phase phase;
	long long mark;     /* draining: bytes still to be answered; lingering: when it ends, in ms */
};

/* loop is what one thread owns. Others only add to its epoll set. */
static struct loop {
	_Alignas(128) int epoll, wake, timer, number;
	size_t size;        /* of the buffer */
	char *buffer;
	struct counters *counters;
	atomic_uint tick;
	atomic_int armed;   /* the timer is, or its tick has not been seen */
	bool draining;
	pthread_t thread;
} *loops;

static struct conn *table; /* by descriptor */
static size_t places;
static atomic_int highest; /* descriptor of a connection so far */

/* What the first loop knows about accepting. */
static struct {
	pthread_mutex_t lock;
	atomic_int paused; /* at MaxConns */
	int next;          /* loop */
	int backoff;       /* ms */
	long long resume;  /* after a failure, in ms of the clock; 0 while there is none */
} acceptor = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* tags of descriptors that are no connections, above all of those */
enum { TAG_LISTENER = INT32_MAX - 2, TAG_WAKE, TAG_TIMER };

static void watch(int epoll, int op, int fd, uint32_t events, int tag)
{
	struct epoll_event e = {.events = events, .data.u64 = (uint64_t)tag};
	if (epoll_ctl(epoll, op, fd, &e))
		die("epoll_ctl of descriptor %d: %s", fd, strerror(errno));
}

static void listen_for(uint32_t events) { watch(loops[0].epoll, EPOLL_CTL_MOD, server.listener, events, TAG_LISTENER); }

/* ring wakes a loop. */
static void ring(struct loop *l)
{
	uint64_t one = 1;
	if (write(l->wake, &one, sizeof one) < 0 && errno != EAGAIN)
		die("wake a loop: %s", strerror(errno));
}

/* resume_accepting is for a loop that has made room below MaxConns. */
static void resume_accepting(void)
{
	pthread_mutex_lock(&acceptor.lock);
	if (acceptor.paused && server.accepting && server.active < server.config.max_conns) {
		acceptor.paused = 0;
		listen_for(EPOLLIN);
		if (server.draining)
			ring(&loops[0]); /* the backlog may be empty, and then nothing else wakes it */
	}
	pthread_mutex_unlock(&acceptor.lock);
}

static void end(struct loop *l, int fd, bool failed)
{
	struct conn *c = &table[fd];
	if (failed)
		count(&l->counters->conn_errors, 1);
	free(c->owed);
	c->owed = NULL;
	atomic_store_explicit(&c->owner, 0, memory_order_release);
	close(fd); /* which removes it from the epoll set */
	atomic_fetch_sub(&server.active, 1);
	if (acceptor.paused)
		resume_accepting();
	check_drained();
}

/* linger ends the stream to the peer of a connection that has been drained. */
static void linger(struct conn *c, int fd)
{
	shutdown(fd, SHUT_WR);
	c->phase = LINGERING;
	c->mark = milliseconds() + LINGER_MS;
}

/* unread is how many bytes of a stream have arrived and were not read yet. */
static long unread(int fd)
{
	int n = 0;
	return ioctl(fd, FIONREAD, &n) ? 0 : n;
}

/* begin_drain notes how much of the stream has arrived and is to be answered. */
static void begin_drain(struct conn *c, int fd)
{
	c->phase = DRAINING;
	c->mark = unread(fd);
	if (c->mark == 0 && !c->owed)
		linger(c, fd);
}

/* owe keeps what a write left over, and stops reading. */
static bool owe(struct loop *l, struct conn *c, int fd, const char *rest, size_t n)
{
	struct epoll_event e = {.events = EPOLLOUT, .data.u64 = (uint64_t)fd};
	if (!(c->owed = malloc(n)) || epoll_ctl(l->epoll, EPOLL_CTL_MOD, fd, &e))
		return false;
	memcpy(c->owed, rest, n);
	c->from = 0;
	c->to = (uint32_t)n;
	count(&l->counters->paused, 1);
	return true;
}

/* pay goes on writing what is owed. It returns true when it has gone. */
static bool pay(struct loop *l, struct conn *c, int fd)
{
	ssize_t n = write(fd, c->owed + c->from, c->to - c->from);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			end(l, fd, true);
		return false;
	}
	c->tick = atomic_load_explicit(&l->tick, memory_order_relaxed);
	count(&l->counters->bytes_out, (unsigned long)n);
	c->from += (uint32_t)n;
	if (c->from < c->to)
		return false;
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)fd};
	free(c->owed);
	c->owed = NULL;
	if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, fd, &e)) {
		end(l, fd, true);
		return false;
	}
	return true;
}

/* discard reads what a peer sends after it has got all of its answers. */
static void discard(struct loop *l, int fd)
{
	ssize_t n = read(fd, l->buffer, l->size);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		end(l, fd, false);
}

/* serve is the hot path. */
static void serve(struct loop *l, int fd)
{
	struct conn *c = &table[fd];
	if (unlikely(c->owed != NULL) && !pay(l, c, fd))
		return;
	if (unlikely(c->phase != SERVING)) {
		if (c->phase == LINGERING) {
			discard(l, fd);
			return;
		}
		if (c->mark <= 0) {
			linger(c, fd);
			return;
		}
	}
	c->tick = atomic_load_explicit(&l->tick, memory_order_relaxed);
	for (int i = 0; i < READS; i++) {
		ssize_t n = read(fd, l->buffer, l->size);
		if (unlikely(n <= 0)) {
			if (n == 0)
				end(l, fd, false);
			else if (errno != EAGAIN && errno != EINTR)
				end(l, fd, true);
			return;
		}
		count(&l->counters->bytes_in, (unsigned long)n);
		ssize_t sent = write(fd, l->buffer, (size_t)n);
		if (unlikely(c->phase == DRAINING))
			c->mark -= n;
		if (unlikely(sent != n)) {
			if (sent < 0) {
				if (errno != EAGAIN && errno != EINTR) {
					end(l, fd, true);
					return;
				}
				sent = 0;
			}
			count(&l->counters->bytes_out, (unsigned long)sent);
			if (!owe(l, c, fd, l->buffer + sent, (size_t)(n - sent)))
				end(l, fd, true);
			return;
		}
		count(&l->counters->bytes_out, (unsigned long)sent);
		if (unlikely(c->phase == DRAINING && c->mark <= 0)) {
			linger(c, fd);
			return;
		}
		if ((size_t)n < l->size)
			return;
	}
}

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

/* arm sets the timer of a loop for its next tick. Only a loop with connections
 * ticks. */
static void arm(struct loop *l)
{
	if (server.config.idle_ns < 0 || atomic_exchange(&l->armed, 1))
		return;
	long long step = server.config.idle_ns / TICKS;
	if (step < 1000000)
		step = 1000000;
	struct itimerspec in = {.it_value = {step / 1000000000, step % 1000000000}};
	if (timerfd_settime(l->timer, 0, &in, NULL))
		die("set a timer: %s", strerror(errno));
}

/* give makes a connection one of l's. */
static void give(struct loop *l, int fd)
{
	struct conn *c = &table[fd];
	await_end(&c->owner);
	c->phase = SERVING;
	c->tick = l->tick;
	if (fd > highest)
		highest = fd;
	if (unlikely(server.draining))
		begin_drain(c, fd);
	atomic_fetch_add(&server.active, 1);
	atomic_fetch_add(&server.accepted, 1);
	atomic_store_explicit(&c->owner, l->number, memory_order_release);
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)fd};
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e))
		end(&loops[0], fd, true); /* counted by this loop, not by l's thread */
	else
		arm(l);
}

/* at_limit tells whether MaxConns is reached, and if so accepts no more until
 * there is room. */
static bool at_limit(void)
{
	if (server.active < server.config.max_conns || server.config.on_limit == LIMIT_REJECT)
		return false;
	pthread_mutex_lock(&acceptor.lock);
	acceptor.paused = 1;
	bool full = server.active >= server.config.max_conns;
	if (full)
		listen_for(0);
	else
		acceptor.paused = 0;
	pthread_mutex_unlock(&acceptor.lock);
	return full;
}

static void stop_accepting(void)
{
	pthread_mutex_lock(&acceptor.lock);
	if (atomic_exchange(&server.accepting, 0))
		close(server.listener);
	pthread_mutex_unlock(&acceptor.lock);
	check_drained();
}

/* accept_some takes connections from the backlog. */
static void accept_some(void)
{
	for (int i = 0; (i < ACCEPTS || server.draining) && !at_limit(); i++) {
		int fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0 && (size_t)fd < places) {
			acceptor.backoff = 0;
			if (server.active >= server.config.max_conns) {
				atomic_fetch_add(&server.rejected, 1);
				shutdown(fd, SHUT_WR);
				close(fd);
				continue;
			}
			give(&loops[acceptor.next], fd);
			if (++acceptor.next == server.config.loops)
				acceptor.next = 0;
			continue;
		}
		if (fd < 0 && errno == EAGAIN) {
			if (server.draining)
				stop_accepting(); /* the backlog is empty */
			return;
		}
		if (fd < 0 && !soon_again(errno))
			die("accept on %s: %s", server.address, strerror(errno));
		if (fd >= 0)
			close(fd); /* it has no place in the table */
		atomic_fetch_add(&server.accept_errors, 1);
		acceptor.backoff = 2 * acceptor.backoff;
		if (acceptor.backoff < FIRST_BACKOFF_MS)
			acceptor.backoff = FIRST_BACKOFF_MS;
		if (acceptor.backoff > LAST_BACKOFF_MS)
			acceptor.backoff = LAST_BACKOFF_MS;
		acceptor.resume = milliseconds() + acceptor.backoff;
		listen_for(0);
		return;
	}
}

/* woken does what the control channel, by way of the first loop, has asked for. */
static void woken(struct loop *l)
{
	uint64_t times;
	if (read(l->wake, &times, sizeof times) < 0 && errno != EAGAIN)
		die("wake of a loop: %s", strerror(errno));
	if (l->number == 1) {
		/* No loop looks for connections to drain before the first one, which
		 * makes them, knows that it drains them itself from now on. */
		for (int i = 1; i < server.config.loops; i++)
			ring(&loops[i]);
		if (server.cutting)
			stop_accepting();
		else if (server.accepting && !acceptor.paused)
			accept_some();
	}
	for (int fd = 0; fd <= highest; fd++) {
		struct conn *c = &table[fd];
		if (atomic_load_explicit(&c->owner, memory_order_acquire) != l->number)
			continue;
		if (server.cutting) {
			if (c->owed)
				abandon(fd);
			end(l, fd, false);
		} else if (!l->draining && c->phase == SERVING) {
			begin_drain(c, fd);
		}
	}
	l->draining = true;
	check_drained();
}

/* tick looks for connections without traffic. */
static void tick(struct loop *l)
{
	uint64_t times;
	if (read(l->timer, &times, sizeof times) < 0 && errno != EAGAIN)
		die("read a timer: %s", strerror(errno));
	uint32_t now = atomic_fetch_add(&l->tick, 1) + 1;
	bool any = false;
	l->armed = 0;
	for (int fd = 0; fd <= highest; fd++) {
		struct conn *c = &table[fd];
		if (atomic_load_explicit(&c->owner, memory_order_acquire) != l->number)
			continue;
		/* Traffic came at most one step after the tick that it bears. */
		if (now - c->tick > TICKS) {
			count(&l->counters->idle_closed, 1);
			if (c->owed)
				abandon(fd);
			end(l, fd, false);
		} else {
			any = true;
		}
	}
	if (any)
		arm(l);
}

/* end_lingering closes what has been kept long enough. */
static void end_lingering(struct loop *l)
{
	long long now = milliseconds();
	for (int fd = 0; fd <= highest; fd++) {
		struct conn *c = &table[fd];
		if (atomic_load_explicit(&c->owner, memory_order_acquire) == l->number && c->phase == LINGERING && now >= c->mark)
			end(l, fd, false);
	}
}

/* patience is how long a loop may sleep, in ms. */
static int patience(struct loop *l)
{
	if (unlikely(l->draining && server.active > 0))
		return DRAIN_STEP_MS;
	if (unlikely(l->number == 1 && acceptor.resume)) {
		long long left = acceptor.resume - milliseconds();
		return left > 0 ? (int)left : 0;
	}
	return -1;
}

/* seldom is what is due between events: lingering connections, and accepting
 * after a failure. */
static void seldom(struct loop *l)
{
	if (l->draining)
		end_lingering(l);
	if (l->number == 1 && acceptor.resume && milliseconds() >= acceptor.resume) {
		acceptor.resume = 0;
		if (server.accepting)
			listen_for(EPOLLIN);
		if (server.accepting && server.draining)
			accept_some();
	}
}

static void *run(void *arg)
{
	struct loop *l = arg;
	struct epoll_event events[EVENTS];
	for (;;) {
		int timeout = patience(l);
		int n = epoll_wait(l->epoll, events, EVENTS, timeout);
		if (unlikely(n < 0 && errno != EINTR))
			die("epoll_wait: %s", strerror(errno));
		bool ticks = false, wakes = false;
		for (int i = 0; i < n; i++) {
			int tag = (int)events[i].data.u64;
			if (likely(tag < TAG_LISTENER))
				serve(l, tag);
			else if (tag == TAG_LISTENER)
				accept_some();
			else if (tag == TAG_TIMER)
				ticks = true;
			else
				wakes = true;
		}
		/* These may end any connection, so they wait until no event of one is
		 * left that its descriptor's next connection could get. */
		if (unlikely(ticks))
			tick(l);
		if (unlikely(wakes))
			woken(l);
		if (unlikely(timeout >= 0))
			seldom(l);
	}
	return NULL;
}

/* engine_wake lets the loops see that the server drains, or is cut. */
static void engine_wake(void) { ring(&loops[0]); }

static void engine_start(void)
{
	table = table_of(sizeof *table, &places);
	loops = aligned_alloc(_Alignof(struct loop), (size_t)server.config.loops * sizeof *loops);
	if (!loops)
		die("start: out of memory");
	memset(loops, 0, (size_t)server.config.loops * sizeof *loops);
	for (int i = 0; i < server.config.loops; i++) {
		struct loop *l = &loops[i];
		l->number = i + 1;
		l->counters = &server.counters[i];
		l->size = (size_t)server.config.read_buffer;
		l->buffer = malloc(l->size);
		l->epoll = epoll_create1(EPOLL_CLOEXEC);
		l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (!l->buffer || l->epoll < 0 || l->wake < 0 || l->timer < 0)
			die("start loop %d: %s", i, strerror(errno));
		watch(l->epoll, EPOLL_CTL_ADD, l->wake, EPOLLIN, TAG_WAKE);
		watch(l->epoll, EPOLL_CTL_ADD, l->timer, EPOLLIN, TAG_TIMER);
	}
	watch(loops[0].epoll, EPOLL_CTL_ADD, server.listener, EPOLLIN, TAG_LISTENER);
	for (int i = 0; i < server.config.loops; i++) {
		int why = pthread_create(&loops[i].thread, NULL, run, &loops[i]);
		if (why)
			die("start loop %d: %s", i, strerror(why));
	}
}

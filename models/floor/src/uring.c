/*
 * Echo over io_uring: one ring a thread. The first loop accepts and deals
 * connections out in turn, by a message to the ring of the loop that is going to
 * serve it.
 *
 * What arrives is put by the kernel into a buffer of the loop's, and sent from
 * there; when it is sent, the kernel gets the buffer back. Receiving is armed once
 * for the life of a connection where the kernel has that, so a request costs one
 * submission and two completions, and a share of one system call. Nothing is
 * allocated and no clock is read.
 *
 * A connection whose peer does not read holds buffers. When these exceed
 * MaxPending, its receive is cancelled until all of them are sent.
 */

enum {
	TICKS = 16,         /* in an idle time-out */
	LINGER_MS = 250,    /* that a drained connection is kept for its peer to read */
	DRAIN_STEP_MS = 25, /* between two looks at connections that linger */
	FIRST_BACKOFF_MS = 5,
	LAST_BACKOFF_MS = 1000,
};

/* What a completion is about, in the upper half of its tag; a descriptor is in
 * the lower. */
enum about { RECEIVED, SENT, GIVEN, ACCEPTED, ROOM, WOKEN, TICKED, STEPPED, BACKED_OFF, HANDED_OVER, CANCELLED };

enum phase { SERVING, DRAINING, LINGERING };

struct conn {
	atomic_int owner;   /* number of its loop from 1 on, 0 while there is no connection */
	uint32_t tick;      /* of its loop, at the last traffic */
	uint16_t head, tail; /* buffers to be sent, a list */
	uint16_t held;      /* how many */
	uint8_t phase;
	bool receiving : 1, cancelling : 1, sending : 1; /* requests under way */
	bool ended : 1;     /* its peer sends no more */
	bool closing : 1;   /* when nothing is under way */
	bool failed : 1;    /* by an error */
	bool starved : 1;   /* there was no buffer for it */
	bool stuck : 1;     /* what it sends has to wait */
	uint32_t from;      /* what is sent already of the first buffer */
	uint64_t total;     /* bytes received */
	uint64_t mark;      /* draining: total that is to be answered; lingering: when it ends, in ms */
};

static struct loop {
	_Alignas(128) struct ring ring;
	int wake, number;
	const struct tier *tier;
	struct counters *counters;
	uint32_t tick;
	unsigned limit;     /* of buffers that one connection may hold and still receive */
	unsigned starved;   /* connections */
	bool armed, draining;
	uint64_t wakes;     /* read into */
	struct __kernel_timespec step;
	uint16_t next[MOST_BUFFERS];   /* buffer in the list */
	uint32_t length[MOST_BUFFERS]; /* bytes in the buffer */
	pthread_t thread;
} *loops;

static struct conn *table; /* by descriptor */
static size_t places;
static atomic_int highest; /* descriptor of a connection so far */
static pthread_barrier_t opened;
static size_t first_tier;
static const struct __kernel_timespec drain_step = {.tv_nsec = DRAIN_STEP_MS * 1000000};

/* What the first loop knows about accepting. */
static struct {
	atomic_int paused; /* at MaxConns */
	bool under_way, multishot, resting;
	long backlog;
	int next;          /* loop */
	int backoff;       /* ms */
	struct __kernel_timespec rest;
} acceptor;

static inline uint64_t tag(enum about what, int fd) { return (uint64_t)what << 32 | (uint32_t)fd; }

static void resume_accepting(struct loop *l);

/* message posts a completion on another ring. */
static void message_to(struct loop *l, struct loop *to, uint64_t about, int result)
{
	struct io_uring_sqe *s = request(&l->ring, IORING_OP_MSG_RING, to->ring.fd, tag(HANDED_OVER, about == tag(GIVEN, 0) ? result : -1));
	s->len = (uint32_t)result;
	s->off = about;
	s->flags = IOSQE_CQE_SKIP_SUCCESS;
}

static void timer(struct loop *l, enum about what, const struct __kernel_timespec *after)
{
	struct io_uring_sqe *s = request(&l->ring, IORING_OP_TIMEOUT, -1, tag(what, 0));
	s->addr = (uint64_t)(uintptr_t)after;
	s->len = 1;
}

static void await_wake(struct loop *l)
{
	struct io_uring_sqe *s = request(&l->ring, IORING_OP_READ, l->wake, tag(WOKEN, 0));
	s->addr = (uint64_t)(uintptr_t)&l->wakes;
	s->len = sizeof l->wakes;
}

static void receive_on(struct loop *l, struct conn *c, int fd)
{
	struct io_uring_sqe *s = request(&l->ring, IORING_OP_RECV, fd, tag(RECEIVED, fd));
	s->flags = IOSQE_BUFFER_SELECT;
	s->ioprio = l->tier->multishot ? IORING_RECV_MULTISHOT : IORING_RECVSEND_POLL_FIRST;
	c->receiving = true;
	c->cancelling = false;
}

/* send_on sends what is held, as far as it lies in one piece: buffers are taken
 * in order, so a message larger than one often does. */
static void send_on(struct loop *l, struct conn *c, int fd)
{
	struct ring *r = &l->ring;
	unsigned last = c->head, n = l->length[last] - c->from;
	while (last != c->tail && l->length[last] == r->size && l->next[last] == last + 1) {
		last = l->next[last];
		n += l->length[last];
	}
	struct io_uring_sqe *s = request(r, IORING_OP_SEND, fd, tag(SENT, fd));
	s->addr = (uint64_t)(uintptr_t)(r->memory + (size_t)c->head * r->size + c->from);
	s->len = n;
	s->msg_flags = MSG_NOSIGNAL;
	/* Where each receive is armed anew, reads pause when a send has to wait, which
	 * only a send that does not shows. */
	if (unlikely(!l->tier->multishot && !c->stuck))
		s->msg_flags |= MSG_DONTWAIT;
	c->sending = true;
}

/* cancel ends what is under way by its tag. */
static void cancel(struct loop *l, uint64_t what)
{
	struct io_uring_sqe *s = request(&l->ring, IORING_OP_ASYNC_CANCEL, -1, tag(CANCELLED, 0));
	s->addr = what;
	s->flags = IOSQE_CQE_SKIP_SUCCESS;
}

static inline void give_back(struct loop *l, unsigned id)
{
	provide(&l->ring, id);
	publish(&l->ring);
}

/* drop gives back the first buffer that is held. */
static inline void drop(struct loop *l, struct conn *c)
{
	give_back(l, c->head);
	c->head = l->next[c->head];
	c->held--;
	c->from = 0;
}

/* finish ends a connection, as soon as the kernel has no request of it. */
static void finish(struct loop *l, struct conn *c, int fd)
{
	if (!c->closing) {
		c->closing = true;
		if (c->receiving || c->sending)
			shutdown(fd, SHUT_RDWR); /* which completes them */
	}
	if (c->receiving || c->sending)
		return;
	while (c->held)
		drop(l, c);
	if (c->starved)
		l->starved--;
	if (c->failed)
		count(&l->counters->conn_errors, 1);
	atomic_store_explicit(&c->owner, 0, memory_order_release);
	close(fd);
	atomic_fetch_sub(&server.active, 1);
	if (acceptor.paused) {
		if (l->number == 1)
			resume_accepting(l);
		else
			message_to(l, &loops[0], tag(ROOM, 0), 0);
	}
	check_drained();
}

/* go_on does what the state of a connection asks for after a completion. */
static void go_on(struct loop *l, struct conn *c, int fd)
{
	if (unlikely(c->closing || c->failed || (c->ended && !c->held))) {
		finish(l, c, fd);
		return;
	}
	if (unlikely(c->phase == DRAINING && !c->held && c->total >= c->mark)) {
		shutdown(fd, SHUT_WR);
		c->phase = LINGERING;
		c->mark = (uint64_t)milliseconds() + LINGER_MS;
	}
	if (!c->receiving && !c->held && !c->ended && !c->starved)
		receive_on(l, c, fd);
}

static void received(struct loop *l, int fd, int result, unsigned flags)
{
	struct conn *c = &table[fd];
	if (!(flags & IORING_CQE_F_MORE))
		c->receiving = false;
	if (likely(result > 0)) {
		unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;
		l->ring.unused--;
		c->tick = l->tick;
		c->total += (unsigned)result;
		if (unlikely(c->closing || c->phase == LINGERING)) {
			give_back(l, id);
		} else {
			count(&l->counters->bytes_in, (unsigned)result);
			l->length[id] = (unsigned)result;
			if (c->held++)
				l->next[c->tail] = (uint16_t)id;
			else
				c->head = (uint16_t)id;
			c->tail = (uint16_t)id;
			if (!c->sending)
				send_on(l, c, fd);
			if (unlikely(c->held > l->limit && c->receiving && !c->cancelling)) {
				c->cancelling = true;
				cancel(l, tag(RECEIVED, fd));
				submit(&l->ring, 0); /* at once: the kernel may go on filling buffers meanwhile */
				count(&l->counters->paused, 1);
			}
			if (likely(c->receiving))
				return;
		}
	} else if (result == 0) {
		c->ended = true;
	} else if (result == -ENOBUFS) {
		/* It waits for its own buffers, for new ones, or for those of others. */
		if (c->held) {
			count(&l->counters->paused, 1);
		} else if (!c->closing && !grow(&l->ring)) {
			c->starved = true;
			l->starved++;
		}
	} else if (result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
		c->ended = true;
		c->failed = c->phase != LINGERING && !c->closing;
	}
	go_on(l, c, fd);
}

static void sent(struct loop *l, int fd, int result)
{
	struct conn *c = &table[fd];
	c->sending = false;
	if (unlikely(result < 0)) {
		if (result == -EAGAIN && !c->stuck) {
			c->stuck = true;
			count(&l->counters->paused, 1);
		}
		if (result != -EINTR && result != -EAGAIN && !c->closing)
			c->failed = true;
	} else {
		count(&l->counters->bytes_out, (unsigned)result);
		c->tick = l->tick;
		c->stuck = false;
		for (unsigned n = (unsigned)result; n > 0;) {
			unsigned left = l->length[c->head] - c->from;
			if (n < left) {
				c->from += n;
				break;
			}
			n -= left;
			drop(l, c);
		}
	}
	if (c->held && !c->failed && !c->closing)
		send_on(l, c, fd);
	else if (unlikely(!c->receiving || c->phase != SERVING || c->failed || c->closing))
		go_on(l, c, fd);
}

/* begin_drain notes how much of the stream has arrived and is to be answered,
 * by the kernel's account: completions of some of it may be under way. */
static void begin_drain(struct loop *l, struct conn *c, int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof info;
	memset(&info, 0, sizeof info);
	c->phase = DRAINING;
	c->mark = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) ? 0 : info.tcpi_bytes_received;
	go_on(l, c, fd);
}

static void arm(struct loop *l)
{
	if (server.config.idle_ns < 0 || l->armed)
		return;
	l->armed = true;
	timer(l, TICKED, &l->step);
}

/* given begins to serve a connection. */
static void given(struct loop *l, int fd)
{
	struct conn *c = &table[fd];
	await_end(&c->owner);
	memset((char *)c + sizeof c->owner, 0, sizeof *c - sizeof c->owner);
	c->tick = l->tick;
	atomic_store_explicit(&c->owner, l->number, memory_order_release);
	receive_on(l, c, fd);
	arm(l);
	if (unlikely(server.cutting))
		finish(l, c, fd);
	else if (unlikely(l->draining))
		begin_drain(l, c, fd);
}

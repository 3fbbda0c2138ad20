/*
 * The part of io_uring that an echo needs, by raw system calls: a submission and
 * a completion queue in shared memory, and a ring of buffers that the kernel
 * takes from when bytes arrive.
 */

#include <linux/io_uring.h>

#ifndef IORING_SETUP_DEFER_TASKRUN
#error "the headers of the kernel are older than Linux 6.1 (install newer ones; on Debian: linux-libc-dev)"
#endif

enum { SUBMISSIONS = 2048, COMPLETIONS = 16384, MOST_BUFFERS = 1 << 15, MORE_BUFFERS = 256 };

/* tiers are sets of features by release of the kernel, the best one first. */
static const struct tier {
	unsigned flags;
	bool multishot; /* one receive yields a completion for each arrival */
	const char *variant, *fallback;
} tiers[] = {
	{IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, true, "single-issuer, defer-taskrun, multishot receive", ""},
	{IORING_SETUP_COOP_TASKRUN, false, "coop-taskrun, receive armed each time",
	 "IORING_SETUP_DEFER_TASKRUN is not there (Linux 6.1 has it), so receives are armed one by one"},
};

struct ring {
	int fd;             /* of the file */
	int enter;          /* what io_uring_enter is told: its number among registered rings */
	unsigned enter_flags;
	unsigned *sq_head, *sq_tail, sq_mask, sq_entries, queued; /* queued is our tail */
	struct io_uring_sqe *sqes;
	unsigned *cq_head, *cq_tail, cq_mask;
	struct io_uring_cqe *cqes;

	struct io_uring_buf_ring *buffers;
	char *memory;       /* that buffers are in, one after the other */
	unsigned size;      /* of one buffer */
	unsigned most, provided, unused; /* buffers: at most, in all, not held by us */
	uint16_t buffer_tail;
};

static void *shared(int fd, off_t offset, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
	if (at == MAP_FAILED)
		die("map a queue of io_uring: %s", strerror(errno));
	return at;
}

/* provide gives the kernel a buffer; publish makes it see those given. */
static inline void provide(struct ring *r, unsigned id)
{
	struct io_uring_buf *b = &r->buffers->bufs[r->buffer_tail++ & (r->most - 1)];
	b->addr = (uint64_t)(uintptr_t)(r->memory + (size_t)id * r->size);
	b->len = r->size;
	b->bid = (uint16_t)id;
	r->unused++;
}

static inline void publish(struct ring *r) { __atomic_store_n(&r->buffers->tail, r->buffer_tail, __ATOMIC_RELEASE); }

/* grow provides more buffers, if there may be more. */
static bool grow(struct ring *r)
{
	unsigned to = r->provided + MORE_BUFFERS;
	if (to > r->most)
		to = r->most;
	if (to == r->provided)
		return false;
	while (r->provided < to)
		provide(r, r->provided++);
	publish(r);
	return true;
}

static void make_buffers(struct ring *r, unsigned size)
{
	r->size = size;
	for (r->most = MOST_BUFFERS; r->most > 64 && (uint64_t)r->most * size > 1 << 30;)
		r->most /= 2;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	r->buffers = mmap(NULL, r->most * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE, flags, -1, 0);
	r->memory = mmap(NULL, (size_t)r->most * size, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (r->buffers == MAP_FAILED || r->memory == MAP_FAILED)
		die("buffers of %u bytes: %s", size, strerror(errno));
	struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)r->buffers, .ring_entries = r->most};
	if (syscall(__NR_io_uring_register, r->fd, IORING_REGISTER_PBUF_RING, &reg, 1))
		die("io_uring: a ring of buffers: %s (this model needs Linux 5.19)", strerror(errno));
	grow(r);
}

/* open_ring makes a ring with the best features that there are from tier first
 * on, and returns which. */
static const struct tier *open_ring(struct ring *r, size_t first, unsigned buffer_size)
{
	struct io_uring_params p;
	const struct tier *found = NULL;
	for (size_t i = first; i < sizeof tiers / sizeof *tiers && !found; i++) {
		memset(&p, 0, sizeof p);
		p.flags = tiers[i].flags | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
		p.cq_entries = COMPLETIONS;
		r->fd = (int)syscall(__NR_io_uring_setup, SUBMISSIONS, &p);
		if (r->fd >= 0)
			found = &tiers[i];
		else if (errno != EINVAL)
			die("io_uring_setup: %s (%s)", strerror(errno),
			    errno == EPERM || errno == EACCES ? "the host forbids io_uring: see kernel.io_uring_disabled, or a seccomp filter of the container"
			    : errno == ENOSYS ? "this kernel has no io_uring, or a seccomp filter hides it" : "this model needs io_uring");
	}
	if (!found)
		die("io_uring_setup: %s (this model needs Linux 5.19)", strerror(errno));
	fcntl(r->fd, F_SETFD, FD_CLOEXEC);
	size_t sq = p.sq_off.array + p.sq_entries * sizeof(unsigned);
	size_t cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	char *at = shared(r->fd, IORING_OFF_SQ_RING, sq > cq ? sq : cq); /* one mapping holds both since Linux 5.4 */
	r->sqes = shared(r->fd, IORING_OFF_SQES, p.sq_entries * sizeof(struct io_uring_sqe));
	r->sq_head = (unsigned *)(at + p.sq_off.head);
	r->sq_tail = (unsigned *)(at + p.sq_off.tail);
	r->sq_mask = *(unsigned *)(at + p.sq_off.ring_mask);
	r->sq_entries = p.sq_entries;
	r->queued = *r->sq_tail;
	r->cq_head = (unsigned *)(at + p.cq_off.head);
	r->cq_tail = (unsigned *)(at + p.cq_off.tail);
	r->cq_mask = *(unsigned *)(at + p.cq_off.ring_mask);
	r->cqes = (struct io_uring_cqe *)(at + p.cq_off.cqes);
	for (unsigned i = 0; i < p.sq_entries; i++)
		((unsigned *)(at + p.sq_off.array))[i] = i;

	/* A registered ring spares each call the look-up of its descriptor. */
	struct io_uring_rsrc_update own = {.offset = -1U, .data = (uint64_t)r->fd};
	r->enter = r->fd;
	if (syscall(__NR_io_uring_register, r->fd, IORING_REGISTER_RING_FDS, &own, 1) == 1) {
		r->enter = (int)own.offset;
		r->enter_flags = IORING_ENTER_REGISTERED_RING;
	}
	make_buffers(r, buffer_size);
	return found;
}

/* submit hands over what is queued, and waits for so many completions. */
static void submit(struct ring *r, unsigned wait)
{
	__atomic_store_n(r->sq_tail, r->queued, __ATOMIC_RELEASE);
	unsigned n = r->queued - __atomic_load_n(r->sq_head, __ATOMIC_ACQUIRE);
	unsigned flags = r->enter_flags | (wait ? IORING_ENTER_GETEVENTS : 0);
	if (syscall(__NR_io_uring_enter, r->enter, n, wait, flags, NULL, 0) >= 0 || errno == EINTR)
		return;
	if (errno != EAGAIN && errno != EBUSY)
		die("io_uring_enter: %s", strerror(errno));
	/* The kernel lacks memory for requests, or room for completions: take what
	 * has completed, and try again. */
	if (syscall(__NR_io_uring_enter, r->enter, 0, 0, r->enter_flags | IORING_ENTER_GETEVENTS, NULL, 0) < 0 && errno != EINTR &&
	    errno != EAGAIN && errno != EBUSY)
		die("io_uring_enter: %s", strerror(errno));
}

/* request is the next place in the submission queue. */
static inline struct io_uring_sqe *request(struct ring *r, unsigned opcode, int fd, uint64_t tag)
{
	while (unlikely(r->queued - __atomic_load_n(r->sq_head, __ATOMIC_ACQUIRE) == r->sq_entries))
		submit(r, 0);
	struct io_uring_sqe *s = &r->sqes[r->queued++ & r->sq_mask];
	memset(s, 0, sizeof *s);
	s->opcode = (uint8_t)opcode;
	s->fd = fd;
	s->user_data = tag;
	return s;
}

/*
 * What wakes a loop of the ring's model: completions, the control channel, and
 * timers.
 */

static void ring_bell(struct loop *l)
{
	uint64_t one = 1;
	if (write(l->wake, &one, sizeof one) < 0)
		die("wake a loop: %s", strerror(errno));
}

/* woken does what the control channel, by way of the first loop, has asked for. */
static void woken(struct loop *l)
{
	bool first = !l->draining;
	l->draining = true;
	await_wake(l);
	if (l->number == 1) {
		for (int i = 1; i < server.config.loops; i++)
			ring_bell(&loops[i]);
		if (acceptor.under_way)
			cancel(l, tag(ACCEPTED, 0)); /* and when it has ended, the backlog is taken */
		if (server.cutting)
			stop_accepting();
		else
			accept_more(l);
	}
	for (int fd = 0; fd <= highest; fd++) {
		struct conn *c = &table[fd];
		if (atomic_load_explicit(&c->owner, memory_order_acquire) != l->number)
			continue;
		if (server.cutting) {
			if (c->held)
				abandon(fd);
			finish(l, c, fd);
		} else if (first && c->phase == SERVING) {
			begin_drain(l, c, fd);
		}
	}
	if (first)
		timer(l, STEPPED, &drain_step);
	check_drained();
}

/* tick looks for connections without traffic. */
static void ticked(struct loop *l)
{
	bool any = false;
	l->tick++;
	l->armed = false;
	for (int fd = 0; fd <= highest; fd++) {
		struct conn *c = &table[fd];
		if (atomic_load_explicit(&c->owner, memory_order_acquire) != l->number)
			continue;
		any = true;
		/* Traffic came at most one step after the tick that it bears. */
		if (l->tick - c->tick > TICKS && !c->closing) {
			count(&l->counters->idle_closed, 1);
			if (c->held)
				abandon(fd);
			finish(l, c, fd);
		}
	}
	if (any)
		arm(l);
}

/* stepped closes what has lingered long enough. */
static void stepped(struct loop *l)
{
	uint64_t now = (uint64_t)milliseconds();
	for (int fd = 0; fd <= highest; fd++) {
		struct conn *c = &table[fd];
		if (atomic_load_explicit(&c->owner, memory_order_acquire) == l->number && c->phase == LINGERING && now >= c->mark)
			finish(l, c, fd);
	}
	if (server.active > 0 || server.accepting)
		timer(l, STEPPED, &drain_step);
}

/* feed lets connections receive that there was no buffer for. */
static void feed(struct loop *l)
{
	for (int fd = 0; fd <= highest && l->starved; fd++) {
		struct conn *c = &table[fd];
		if (atomic_load_explicit(&c->owner, memory_order_acquire) != l->number || !c->starved)
			continue;
		c->starved = false;
		l->starved--;
		go_on(l, c, fd);
	}
}

static void completed(struct loop *l, const struct io_uring_cqe *e)
{
	int fd = (int)(uint32_t)e->user_data;
	switch ((enum about)(e->user_data >> 32)) {
	case RECEIVED:
		received(l, fd, e->res, e->flags);
		break;
	case SENT:
		sent(l, fd, e->res);
		break;
	case GIVEN:
		given(l, e->res);
		break;
	case ACCEPTED:
		accepted(l, e->res, e->flags);
		break;
	case ROOM:
		resume_accepting(l);
		break;
	case WOKEN:
		woken(l);
		break;
	case TICKED:
		ticked(l);
		break;
	case STEPPED:
		stepped(l);
		break;
	case BACKED_OFF:
		acceptor.resting = false;
		accept_more(l);
		break;
	case HANDED_OVER: /* only failures come here: the other ring lacks room */
		if (fd < 0) {
			message_to(l, &loops[0], tag(ROOM, 0), 0);
			break;
		}
		count(&l->counters->conn_errors, 1);
		close(fd);
		atomic_fetch_sub(&server.active, 1);
		resume_accepting(l);
		check_drained();
		break;
	case CANCELLED: /* what was to be cancelled had completed */
		break;
	}
}

static void *run(void *arg)
{
	struct loop *l = arg;
	struct ring *r = &l->ring;
	l->tier = open_ring(r, first_tier, (unsigned)server.config.read_buffer);
	await_wake(l);
	pthread_barrier_wait(&opened);
	if (l->number == 1)
		accept_more(l);
	for (;;) {
		submit(r, 1);
		unsigned head = *r->cq_head, tail = __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE);
		while (head != tail) {
			struct io_uring_cqe e = r->cqes[head & r->cq_mask];
			__atomic_store_n(r->cq_head, ++head, __ATOMIC_RELEASE);
			completed(l, &e);
		}
		if (unlikely(l->starved && r->unused))
			feed(l);
	}
	return NULL;
}

static void engine_wake(void) { ring_bell(&loops[0]); }

static void engine_start(void)
{
	/* A test begins with a later tier, as an older kernel would. */
	const char *tier = getenv("NETBENCH_URING_TIER");
	if (tier && *tier >= '0' && *tier < (char)('0' + sizeof tiers / sizeof *tiers))
		first_tier = (size_t)(*tier - '0');
	table = table_of(sizeof *table, &places);
	acceptor.backlog = somaxconn();
	if (server.config.backlog && server.config.backlog < acceptor.backlog)
		acceptor.backlog = server.config.backlog;
	size_t size = (size_t)server.config.loops * sizeof *loops;
	loops = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (loops == MAP_FAILED || pthread_barrier_init(&opened, NULL, (unsigned)server.config.loops + 1))
		die("start: %s", strerror(errno));
	long long step = server.config.idle_ns / TICKS;
	if (step < 1000000)
		step = 1000000;
	for (int i = 0; i < server.config.loops; i++) {
		struct loop *l = &loops[i];
		l->number = i + 1;
		l->counters = &server.counters[i];
		l->step = (struct __kernel_timespec){step / 1000000000, step % 1000000000};
		l->limit = (unsigned)(server.config.max_pending / server.config.read_buffer);
		if (!l->limit)
			l->limit = 1;
		l->wake = eventfd(0, EFD_CLOEXEC); /* blocking, so that the ring waits for it */
		if (l->wake < 0)
			die("start loop %d: %s", i, strerror(errno));
		int why = pthread_create(&l->thread, NULL, run, l);
		if (why)
			die("start loop %d: %s", i, strerror(why));
	}
	pthread_barrier_wait(&opened);
	strcpy(server.variant, loops[0].tier->variant);
	strcpy(server.fallback, loops[0].tier->fallback);
}

/*
 * What wakes a loop over epoll: events, the control channel, and timers.
 */

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

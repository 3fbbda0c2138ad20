/*
 * How the first loop over epoll accepts, deals connections out, and stops at
 * MaxConns.
 */

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

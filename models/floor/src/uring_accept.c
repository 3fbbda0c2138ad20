/*
 * How the first loop of the ring's model accepts, deals connections out, and stops
 * at MaxConns.
 */

/* take deals a connection out. */
static void take(struct loop *l, int fd)
{
	acceptor.backoff = 0;
	if ((size_t)fd >= places || server.active >= server.config.max_conns) {
		atomic_fetch_add(&server.rejected, 1);
		shutdown(fd, SHUT_WR);
		close(fd);
		return;
	}
	if (fd > highest)
		highest = fd;
	atomic_fetch_add(&server.active, 1);
	atomic_fetch_add(&server.accepted, 1);
	struct loop *to = &loops[acceptor.next];
	if (++acceptor.next == server.config.loops)
		acceptor.next = 0;
	if (to == l)
		given(l, fd);
	else
		message_to(l, to, tag(GIVEN, 0), fd);
}

static void stop_accepting(void)
{
	if (atomic_exchange(&server.accepting, 0))
		close(server.listener);
	check_drained();
}

/* at_limit tells whether MaxConns is reached; whoever makes room then resumes. */
static bool at_limit(void)
{
	if (server.active < server.config.max_conns || server.config.on_limit == LIMIT_REJECT)
		return false;
	acceptor.paused = 1;
	if (server.active >= server.config.max_conns)
		return true;
	acceptor.paused = 0;
	return false;
}

/* rest does nothing for a while, longer each time, after an accept that failed. */
static void rest(struct loop *l)
{
	atomic_fetch_add(&server.accept_errors, 1);
	acceptor.backoff *= 2;
	if (acceptor.backoff < FIRST_BACKOFF_MS)
		acceptor.backoff = FIRST_BACKOFF_MS;
	if (acceptor.backoff > LAST_BACKOFF_MS)
		acceptor.backoff = LAST_BACKOFF_MS;
	acceptor.resting = true;
	acceptor.rest = (struct __kernel_timespec){acceptor.backoff / 1000, acceptor.backoff % 1000 * 1000000};
	timer(l, BACKED_OFF, &acceptor.rest);
}

/* accept_rest takes what is in the backlog when the server begins to drain. */
static void accept_rest(struct loop *l)
{
	while (!at_limit()) {
		int fd = accept4(server.listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0) {
			take(l, fd);
		} else if (errno == EAGAIN) {
			stop_accepting();
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			rest(l);
			return;
		}
	}
}

/* accept_more arms the accept. One that goes on by itself would not stop at
 * MaxConns, so it has to be further away than the backlog is long. */
static void accept_more(struct loop *l)
{
	if (!server.accepting || acceptor.under_way || acceptor.resting || at_limit())
		return;
	if (server.draining) {
		accept_rest(l);
		return;
	}
	struct io_uring_sqe *s = request(&l->ring, IORING_OP_ACCEPT, server.listener, tag(ACCEPTED, 0));
	s->accept_flags = SOCK_CLOEXEC;
	acceptor.multishot = server.config.on_limit == LIMIT_REJECT || server.config.max_conns - server.active > 2 * acceptor.backlog;
	if (acceptor.multishot)
		s->ioprio = IORING_ACCEPT_MULTISHOT;
	acceptor.under_way = true;
}

static void accepted(struct loop *l, int result, unsigned flags)
{
	if (!(flags & IORING_CQE_F_MORE))
		acceptor.under_way = false;
	if (result >= 0) {
		take(l, result);
		if (acceptor.under_way && server.config.on_limit == LIMIT_WAIT &&
		    server.config.max_conns - server.active <= 2 * acceptor.backlog)
			cancel(l, tag(ACCEPTED, 0));
	} else if (soon_again(-result)) {
		if (!acceptor.resting)
			rest(l);
	} else if (result != -ECANCELED && result != -EAGAIN) {
		die("accept on %s: %s", server.address, strerror(-result));
	}
	accept_more(l);
}

static void resume_accepting(struct loop *l)
{
	if (!atomic_exchange(&acceptor.paused, 0))
		return;
	accept_more(l);
}

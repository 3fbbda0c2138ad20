package buffers

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"

	"netbench/models"
)

// Servers of B3, which speak the line protocol through a bufio.Reader and a
// bufio.Writer of 16 KiB each.
const (
	// FlushEach flushes after each reply: a write for each.
	FlushEach = "line-flush-each"

	// FlushIdle flushes before it would wait: when no whole line is buffered
	// any more. Replies to lines that came together leave together. To ask
	// whether nothing is buffered at all would be a mistake: the beginning of a
	// line would hold back the replies to those before it, for which its sender
	// may wait before it sends the rest.
	FlushIdle = "line-flush-idle"
)

// lineBuffer is the size of both buffers of a line server, in bytes. The reader's
// is the longest line that there can be, so that no peer makes the server hold
// more.
const lineBuffer = 16 << 10

// liners are the designs of B3.
func liners() []design {
	return []design{
		{FlushEach, "line", lineServer(func(*bufio.Reader) bool { return true })},
		{FlushIdle, "line", lineServer(func(r *bufio.Reader) bool { return !lineWaits(r) })},
	}
}

// lineServer makes a line server that flushes when due says so, after a reply.
func lineServer(due func(*bufio.Reader) bool) func(models.Config) (func(*conn) error, error) {
	return func(cfg models.Config) (func(*conn) error, error) {
		if longest := cfg.Service.Limits().Request; longest > lineBuffer {
			return nil, fmt.Errorf("Config.Service is %q, whose lines take up to %d bytes (want at most %d, the size of the buffers)",
				cfg.Service.Name(), longest, lineBuffer)
		}
		return func(c *conn) error {
			return answerLines(c, cfg.Service.Open(), due)
		}, nil
	}
}

// answerLines reads line by line until the end. A line that does not fit in the
// buffer is given to the session as far as it does, which refuses it: ReadString
// would go on collecting it.
func answerLines(c *conn, session models.Session, due func(*bufio.Reader) bool) error {
	r := bufio.NewReaderSize(c, lineBuffer)
	w := bufio.NewWriterSize(c, lineBuffer)
	var reply []byte
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err // at the end of the stream the beginning of a line is no request
		}
		var next models.Next
		_, reply, next = session.Step(line, reply[:0])
		if _, err := w.Write(reply); err != nil {
			return err
		}
		if next.Op == models.Close {
			return errors.Join(w.Flush(), errParting)
		}
		if due(r) {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
}

// lineWaits tells whether a whole line is buffered, so that the next read does not
// have to wait.
func lineWaits(r *bufio.Reader) bool {
	held, _ := r.Peek(r.Buffered()) // which is there
	return bytes.IndexByte(held, '\n') >= 0
}

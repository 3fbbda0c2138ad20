package zerocopy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Messages have a header of three numbers of 4 bytes: which it is, the length of the
// rest, and the checksum of the rest. The rest is cut from a pattern, so that a
// receiver can tell it from that of any other message.
const (
	messageHeader  = 12
	messageBuffers = 32
	messageBuffer  = 64 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// messages makes the same sequence of messages wherever it is called.
type messages struct {
	pattern []byte
	random  *rand.Rand
}

func newMessages() *messages {
	pattern := make([]byte, 1<<20)
	_, _ = io.ReadFull(Material(7), pattern)
	return &messages{pattern, rand.New(rand.NewPCG(3, 4))}
}

// next is what the next message holds: mostly little, at times all that a buffer
// takes.
func (m *messages) next() []byte {
	most := 8 << 10
	if m.random.IntN(8) == 0 {
		most = messageBuffer - messageHeader
	}
	n := 1 + m.random.IntN(most)
	at := m.random.IntN(len(m.pattern) - n)
	return m.pattern[at:][:n]
}

// sendMessages sends so many messages by MSG_ZEROCOPY. Each buffer is overwritten in
// the moment in which its completion was read.
func sendMessages(conn *net.TCPConn, count int) (ZeroCopyCounts, error) {
	z, err := NewZeroCopyConn(conn, messageBuffers, messageBuffer)
	if err != nil {
		return ZeroCopyCounts{}, err
	}
	defer z.Close()
	poison := bytes.Repeat([]byte{0xdb}, messageBuffer)
	z.released = func(b []byte) { copy(b, poison) }
	source := newMessages()
	for i := range count {
		m, err := z.Take()
		if err != nil {
			return z.Counts(), err
		}
		body := source.next()
		binary.BigEndian.PutUint32(m.Bytes, uint32(i))
		binary.BigEndian.PutUint32(m.Bytes[4:], uint32(len(body)))
		binary.BigEndian.PutUint32(m.Bytes[8:], crc32.Checksum(body, castagnoli))
		copy(m.Bytes[messageHeader:], body)
		if _, err := z.Send(m, messageHeader+len(body)); err != nil {
			return z.Counts(), fmt.Errorf("message %d: %w", i, err)
		}
	}
	err = settled(z)
	return z.Counts(), err
}

// settled waits for the last completions, and says if a buffer is missing then.
func settled(z *ZeroCopyConn) error {
	if err := z.Settle(); err != nil {
		return err
	}
	if len(z.free) != len(z.messages) {
		return fmt.Errorf("%d of %d buffers are free at the end", len(z.free), len(z.messages))
	}
	return nil
}

// checkMessages reads so many messages and returns what is wrong with the first that
// is not as it was sent.
func checkMessages(r io.Reader, count int) error {
	in := bufio.NewReaderSize(r, 64<<10)
	source := newMessages()
	got := make([]byte, messageBuffer)
	var header [messageHeader]byte
	for i := range count {
		want := source.next()
		if _, err := io.ReadFull(in, header[:]); err != nil {
			return fmt.Errorf("header of message %d: %w", i, err)
		}
		if k, n := binary.BigEndian.Uint32(header[:]), binary.BigEndian.Uint32(header[4:]); k != uint32(i) || n != uint32(len(want)) {
			return fmt.Errorf("message %d of %d bytes came as message %d of %d bytes", i, len(want), k, n)
		}
		body := got[:len(want)]
		if _, err := io.ReadFull(in, body); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if sum := crc32.Checksum(body, castagnoli); sum != binary.BigEndian.Uint32(header[8:]) {
			return fmt.Errorf("message %d of %d bytes: the checksum is %08x, not %08x", i, len(body), sum, binary.BigEndian.Uint32(header[8:]))
		}
		if !bytes.Equal(body, want) {
			return fmt.Errorf("message %d of %d bytes came with another's bytes", i, len(body))
		}
	}
	return nil
}

// exchange sends messages from one end to the other and checks each. within bounds it.
func exchange(t testing.TB, near, far *net.TCPConn, count int, within time.Duration) ZeroCopyCounts {
	t.Helper()
	for _, c := range []*net.TCPConn{near, far} {
		require.NoError(t, c.SetDeadline(time.Now().Add(within)))
	}
	checked := make(chan error, 1)
	go func() {
		err := checkMessages(far, count)
		if err != nil {
			_ = far.Close() // or the sender would wait
		}
		checked <- err
	}()
	counts, err := sendMessages(near, count)
	if err != nil {
		_ = near.Close() // or the receiver would wait
	}
	require.NoError(t, errors.Join(err, <-checked))
	require.GreaterOrEqual(t, counts.Sent, uint64(count))
	return counts
}

func TestTenThousandMessagesArriveThoughBuffersAreOverwrittenOnCompletion(t *testing.T) {
	closesAll(t)
	near, far := pair(t)
	counts := exchange(t, near, far, 10_000, 4*patience)
	t.Logf("%+v", counts)
	assert.Positive(t, counts.Notices)
}

// large is a connection to a receiver that takes but the beginning of a message before it
// reads, with the only buffer there is, taken and of the size of that message.
func large(t *testing.T) (z *ZeroCopyConn, m *Message, far *net.TCPConn) {
	t.Helper()
	near, far := pair(t)
	require.NoError(t, far.SetReadBuffer(64<<10)) // whatever the host's default is
	z, err := NewZeroCopyConn(near, 1, 256<<10)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, z.Close()) })
	m, err = z.Take()
	require.NoError(t, err)
	return z, m, far
}

// The test above would be worth nothing if reuse before the completion did no harm.
func TestABufferThatIsOverwrittenTooEarlyIsNoticed(t *testing.T) {
	closesAll(t)
	z, m, far := large(t)
	n := len(m.Bytes)
	want := make([]byte, n)
	_, _ = io.ReadFull(Material(5), want)
	copy(m.Bytes, want)
	sent, err := z.Send(m, n)
	require.NoError(t, err)
	require.Equal(t, n, sent)
	require.Positive(t, z.ledger.underWay(), "all is complete already, though nothing was read")
	clear(m.Bytes) // which is forbidden
	got := make([]byte, n)
	_, err = io.ReadFull(far, got)
	require.NoError(t, err)
	assert.False(t, bytes.Equal(want, got), "what was overwritten too early arrived as it was")
}

// A buffer is not handed out before the receiver has made its completion possible.
func TestTakeWaitsForACompletion(t *testing.T) {
	closesAll(t)
	z, m, far := large(t)
	n := len(m.Bytes)
	_, err := z.Take()
	require.ErrorContains(t, err, "none is sent", "waiting would not end")
	_, err = z.Send(m, n)
	require.NoError(t, err)
	_, err = z.Send(m, n)
	require.Error(t, err, "sent twice")

	taken := make(chan error, 1)
	go func() {
		_, err := z.Take()
		taken <- err
	}()
	_, err = io.ReadFull(far, make([]byte, 1000))
	require.NoError(t, err)
	assert.Never(t, func() bool { return len(taken) > 0 }, 50*time.Millisecond, pollEvery, "a buffer was handed out that is not complete")
	_, err = io.ReadFull(far, make([]byte, n-1000))
	require.NoError(t, err)
	select {
	case err := <-taken:
		require.NoError(t, err)
	case <-time.After(patience):
		require.FailNow(t, "no buffer after all was read")
	}
}

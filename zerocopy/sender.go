package zerocopy

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// ErrShrank is wrapped by the error of a Send that came to the end of the file before
// it had sent what it was asked to.
var ErrShrank = errors.New("the file is shorter than that")

// Sender sends files over one connection in one way. Its methods are not to be called
// from several goroutines at a time.
type Sender interface {
	// Way is what the sender was made for.
	Way() Way

	// Send sends n bytes of f from offset on, all of them unless there is an error,
	// and returns how many the kernel took. It keeps to the write deadline of the
	// connection. After an error the peer has a part: close the connection. The
	// error wraps ErrShrank where the file ends too early. The file's own position is
	// moved by KindCopy and KindCopyHidden.
	Send(f *os.File, offset, n int64) (sent int64, err error)

	// Settle waits until the kernel needs nothing of the sender any more. It has
	// something to wait for with KindZeroCopy only, and has to be called before
	// anybody reads from the connection then; it keeps to the write deadline, too.
	Settle() error

	// Report tells what was sent so far, and how.
	Report() Report

	// Close frees the sender's buffers. It neither waits, nor closes the connection.
	Close() error
}

// Paths that bytes took.
const (
	PathReadWrite = "read+write"        // two copies
	PathSendfile  = "sendfile"          // TransmitFile on Windows
	PathMmap      = "mmap+write"        // one copy
	PathZeroCopy  = "read+MSG_ZEROCOPY" // one copy, two if the kernel says so
)

// Report says what a [Sender] did. Numbers count from its beginning.
type Report struct {
	Way  string `json:"way"`
	Path string `json:"path"` // what the way is meant to take

	// FellBack counts the calls of Send in which package net or the kernel took
	// PathReadWrite instead of Path. Only KindCopy can do that.
	FellBack uint64 `json:"fell_back"`

	Sends uint64 `json:"sends"` // calls of Send
	Bytes int64  `json:"bytes"` // that the kernel took

	// Of the system calls that the sender itself makes to hand bytes to the socket.
	// All three are 0 for the kinds that leave them to the standard library.
	Calls   uint64 `json:"calls"`
	Partial uint64 `json:"partial"` // that took less than they were given
	Waits   uint64 `json:"waits"`   // that took nothing, as the queue was full (EAGAIN)

	ZeroCopy *ZeroCopyCounts `json:"zerocopy,omitempty"` // nil for other kinds
}

// ZeroCopyCounts are about sends with MSG_ZEROCOPY.
type ZeroCopyCounts struct {
	Sent      uint64 `json:"sent"`      // sends that took something; each has a number
	Completed uint64 `json:"completed"` // of these, that the kernel is done with

	// Copied are the completed sends in ranges that bear the kernel's flag for
	// "copied anyway". The flag is of a range: where the kernel merged ranges, that
	// of the first holds for all.
	Copied uint64 `json:"copied"`

	Notices    uint64 `json:"notices"`      // ranges read from the error queue
	OutOfOrder uint64 `json:"out_of_order"` // of these, that did not begin with the oldest send
	NoBuffers  uint64 `json:"no_buffers"`   // sends refused for want of notices (ENOBUFS), and tried again
}

// NewSender makes a sender of a way for a connection. A way that this system does not
// have is an error that wraps [errors.ErrUnsupported]. A connection can have one
// sender of KindZeroCopy in its life.
func NewSender(conn *net.TCPConn, way Way) (Sender, error) {
	if err := way.Check(); err != nil {
		return nil, err
	}
	switch way.Kind {
	case KindBuffer:
		return newBufferSender(conn, way), nil
	case KindCopy, KindCopyHidden:
		return newCopySender(conn, way), nil
	}
	return newNativeSender(conn, way)
}

// check returns an error for a range that no file has.
func check(offset, n int64) error {
	if offset < 0 || n < 0 || offset+n < 0 {
		return fmt.Errorf("send %d bytes from offset %d (neither is negative, nor their sum beyond 63 bits)", n, offset)
	}
	return nil
}

// failed says of an error what was being sent.
func failed(way Way, f *os.File, offset, n, sent int64, err error) error {
	return fmt.Errorf("send %d bytes of %s from offset %d by %v: after %d bytes: %w", n, f.Name(), offset, way, sent, err)
}

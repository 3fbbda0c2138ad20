package buffers

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"netbench/models"
)

// Servers of B6, which echo frames (four bytes of length, then a payload) and
// answer in different numbers of pieces. Config.NoDelay switches Nagle's algorithm
// off, as package net does unasked, or leaves it on.
const (
	// SmallJoined writes a reply at once.
	SmallJoined = "small-joined"

	// SmallSplit writes the length, then the payload. With Nagle's algorithm the
	// payload waits until the length is acknowledged, and a peer that waits for
	// the payload before it says anything acknowledges when its timer does, after
	// 40 ms.
	SmallSplit = "small-split"

	// SmallCork does the same between switching TCP_CORK on and off, which sends
	// what was held: four system calls for one packet. Linux.
	SmallCork = "small-cork"

	// SmallMore writes the length with MSG_MORE, which says that more follows
	// at once: two system calls for one packet. Linux.
	SmallMore = "small-more"

	// SmallQuick is SmallJoined that acknowledges what it reads at once, by
	// TCP_QUICKACK, which the kernel forgets and which is set before each read.
	// It helps a peer who sends requests in pieces with Nagle's algorithm. Linux.
	SmallQuick = "small-quick"
)

const (
	smallHeader = 4       // bytes of a frame's length
	smallMax    = 1 << 20 // longest payload
)

// smalls are the designs of B6.
func smalls() []design {
	all := []design{
		{SmallJoined, "frame", smallServer(nil, joined)},
		{SmallSplit, "frame", smallServer(nil, split)},
	}
	if !hasCork {
		return all
	}
	return append(all,
		design{SmallCork, "frame", smallServer(nil, corked)},
		design{SmallMore, "frame", smallServer(nil, withMore)},
		design{SmallQuick, "frame", smallServer(acknowledging, joined)},
	)
}

// replying makes what sends whole frames on a connection.
type replying func(c *conn) func(frame []byte) error

// smallServer makes a server of frames. What before makes for a connection, if it is not
// nil, is done before each read from it.
func smallServer(before func(c *conn) func() error, reply replying) func(models.Config) (func(*conn) error, error) {
	return func(cfg models.Config) (func(*conn) error, error) {
		longest := cfg.Service.Limits().Request
		if longest > smallMax+smallHeader {
			return nil, fmt.Errorf("Config.Service is %q, whose frames take up to %d bytes (want at most %d)",
				cfg.Service.Name(), longest, smallMax+smallHeader)
		}
		return func(c *conn) error {
			var from io.Reader = c
			if before != nil {
				from = reading{c, before(c)}
			}
			send := reply(c)
			r := bufio.NewReader(from)
			frame := make([]byte, smallHeader, 256)
			for {
				if _, err := io.ReadFull(r, frame[:smallHeader]); err != nil {
					return ended(err)
				}
				n := binary.BigEndian.Uint32(frame)
				if n > uint32(longest-smallHeader) {
					return errParting // what follows cannot be trusted to be a frame
				}
				if whole := smallHeader + int(n); cap(frame) < whole {
					frame = append(make([]byte, 0, whole), frame[:smallHeader]...)
				}
				frame = frame[:smallHeader+int(n)]
				if _, err := io.ReadFull(r, frame[smallHeader:]); err != nil {
					return ended(err)
				}
				if err := send(frame); err != nil {
					return err
				}
			}
		}, nil
	}
}

// ended is the error of a connection whose stream ended: in the middle of a frame,
// that is still an end, as what came of it is no request.
func ended(err error) error {
	if err == io.ErrUnexpectedEOF {
		return io.EOF
	}
	return err
}

// reading does something before each read of a connection.
type reading struct {
	c      *conn
	before func() error
}

func (r reading) Read(p []byte) (int, error) {
	if err := r.before(); err != nil {
		return 0, err
	}
	return r.c.Read(p)
}

func acknowledging(c *conn) func() error {
	quick := newQuickAck(c.raw)
	return func() error { return quick.to(1) }
}

func joined(c *conn) func(frame []byte) error {
	return func(frame []byte) error {
		_, err := c.Write(frame)
		return err
	}
}

func split(c *conn) func(frame []byte) error {
	return func(frame []byte) error {
		if _, err := c.Write(frame[:smallHeader]); err != nil {
			return err
		}
		_, err := c.Write(frame[smallHeader:])
		return err
	}
}

func corked(c *conn) func(frame []byte) error {
	cork, send := newCork(c.raw), split(c)
	return func(frame []byte) error {
		if err := cork.to(1); err != nil {
			return err
		}
		if err := send(frame); err != nil {
			return err
		}
		return cork.to(0)
	}
}

// withMore writes the length, with the word that more follows, then the payload.
func withMore(c *conn) func(frame []byte) error {
	first, whole := newMore(c.raw), joined(c)
	return func(frame []byte) error {
		if len(frame) == smallHeader { // no more follows
			return whole(frame)
		}
		if err := first.send(frame[:smallHeader]); err != nil {
			return err
		}
		c.out.Add(smallHeader)
		return whole(frame[smallHeader:])
	}
}

package proc

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The control channel's protocol. Each side opens with a hello; then the parent
// sends a start with the role's specification, the child a ready. From then on
// calls and replies are matched by id, and a cancel tells that nobody waits for
// the reply any more. A stop ends the conversation.
const (
	protocol    = 1 // what this build speaks
	minProtocol = 1 // the oldest version that it understands
)

// maxMessage bounds one line, in bytes. Larger ones are refused by the sender,
// and end the child if they arrive nevertheless.
const maxMessage = 16 << 20

const (
	kindHello  = "hello"
	kindStart  = "start"
	kindReady  = "ready"
	kindCall   = "call"
	kindReply  = "reply"
	kindCancel = "cancel"
	kindStop   = "stop"
)

// message is one line.
type message struct {
	Kind  string          `json:"kind"`
	ID    uint64          `json:"id,omitempty"`    // call, reply, cancel
	Op    string          `json:"op,omitempty"`    // call
	Body  json.RawMessage `json:"body,omitempty"`  // hello, start, ready, call, reply
	Error string          `json:"error,omitempty"` // reply: why there is no result
}

// hello is the body of each side's first message.
type hello struct {
	Protocol int    `json:"protocol"`
	Min      int    `json:"min_protocol"`
	PID      int    `json:"pid"`
	Role     string `json:"role"`
}

// agree returns an error unless both sides understand each other.
func agree(parent, child hello) error {
	if parent.Min > child.Protocol || child.Min > parent.Protocol {
		return fmt.Errorf("control protocol: the parent speaks version %d (understands %d and later), the child version %d (understands %d and later): run both from the same build",
			parent.Protocol, parent.Min, child.Protocol, child.Min)
	}
	if parent.Role != child.Role {
		return fmt.Errorf("control protocol: the parent wants role %q, the child took role %q", parent.Role, child.Role)
	}
	return nil
}

// encode makes the line for a message.
func encode(m message) ([]byte, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if len(line) >= maxMessage {
		return nil, fmt.Errorf("control message of %d bytes (at most %d; pass large data by file)", len(line), maxMessage)
	}
	return append(line, '\n'), nil
}

// encodeBody makes the line for a message with a body that is yet a Go value.
func encodeBody(m message, body any) ([]byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	m.Body = raw
	return encode(m)
}

var errLineTooLong = fmt.Errorf("control message longer than %d bytes", maxMessage)

// readMessage reads one line. At the end of the stream the error is io.EOF, also
// in the middle of a line: whoever wrote it is gone.
func readMessage(r *bufio.Reader) (message, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxMessage {
			return message{}, errLineTooLong
		}
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return message{}, err
		}
	}
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return message{}, fmt.Errorf("not a control message: %.80q: %w", line, err)
	}
	return m, nil
}

// isEOF tells whether a read ended because the other side is gone.
func isEOF(err error) bool { return errors.Is(err, io.EOF) }

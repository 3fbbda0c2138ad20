package habits

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A Way turns each string into a message and writes it: the length of the text, a
// colon, the text on one line (returns left out, line feeds as spaces), and a line
// feed. Each message is one Write, whose bytes the writer must not keep.
type Way struct {
	Name    string
	Process func(w io.Writer, texts []string) error
}

// Ways are those that are compared, the most careless first.
func Ways() []Way {
	return []Way{
		{"strings", viaStrings},
		{"naive", naive},
		{"pooled-bytes", pooledBytes},
		{"pooled-buffer", pooledBuffer},
	}
}

// viaStrings makes a string at each step.
func viaStrings(w io.Writer, texts []string) error {
	for _, text := range texts {
		line := strings.ReplaceAll(text, "\r", "")
		line = strings.ReplaceAll(line, "\n", " ")
		message := fmt.Sprintf("%d", len(line)) + ":" + line + "\n"
		if _, err := w.Write([]byte(message)); err != nil {
			return err
		}
	}
	return nil
}

// naive makes a buffer for each text.
func naive(w io.Writer, texts []string) error {
	for _, text := range texts {
		buffer := make([]byte, 0, BufferSize)
		if _, err := w.Write(appendMessage(buffer, text)); err != nil {
			return err
		}
	}
	return nil
}

var (
	messageBytes   Bytes
	messageBuffers Buffers
)

// pooledBytes takes a buffer for each text from a pool, as requests do that come one
// by one.
func pooledBytes(w io.Writer, texts []string) error {
	one := func(text string) error {
		buffer := messageBytes.Get()
		defer messageBytes.Put(buffer)
		*buffer = appendMessage(*buffer, text)
		_, err := w.Write(*buffer)
		return err
	}
	for _, text := range texts {
		if err := one(text); err != nil {
			return err
		}
	}
	return nil
}

// pooledBuffer is pooledBytes with a bytes.Buffer.
func pooledBuffer(w io.Writer, texts []string) error {
	one := func(text string) error {
		buffer := messageBuffers.Get()
		defer messageBuffers.Put(buffer)
		writeMessage(buffer, text)
		_, err := w.Write(buffer.Bytes())
		return err
	}
	for _, text := range texts {
		if err := one(text); err != nil {
			return err
		}
	}
	return nil
}

// lengthOf is the length of a text on one line.
func lengthOf(text string) int { return len(text) - strings.Count(text, "\r") }

// appendMessage appends the message of a text.
func appendMessage(b []byte, text string) []byte {
	b = append(strconv.AppendInt(b, int64(lengthOf(text)), 10), ':')
	for text != "" {
		i := strings.IndexAny(text, "\r\n")
		if i < 0 {
			b = append(b, text...)
			break
		}
		b = append(b, text[:i]...)
		if text[i] == '\n' {
			b = append(b, ' ')
		}
		text = text[i+1:]
	}
	return append(b, '\n')
}

// writeMessage writes the message of a text.
func writeMessage(b *bytes.Buffer, text string) {
	b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(lengthOf(text)), 10))
	b.WriteByte(':')
	for i := range len(text) {
		switch c := text[i]; c {
		case '\r':
		case '\n':
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\n')
}

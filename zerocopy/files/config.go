package files

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Config says which directory is served, and how. The zero value of each field but
// Dir is sane.
type Config struct {
	// Dir is the directory. It has to exist.
	Dir string

	// MaxSize is the size of the largest file that is taken, in bytes; 0 means
	// [DefaultMaxSize]. Files that are there already may be larger.
	MaxSize int64

	// Buffer is the size of a block in bytes, 4 KiB to 16 MiB; 0 means
	// [DefaultBuffer]. An upload is hashed and written block by block, and holds one
	// in memory. A download hands the kernel a block at a time, or copies through
	// one where there is no sendfile. Larger blocks save system calls; smaller ones
	// save memory and notice a stalled client sooner.
	Buffer int

	// Stall is the time within which a client has to send or to take a block; 0
	// means [DefaultStall].
	Stall time.Duration

	// Hosts are the names by which clients may call the service, without ports; none
	// means any. With them a request whose Host is another name is answered with 421,
	// unless that is an address, "localhost" or a name below it. That keeps out pages
	// of other sites whose name was made to lead here (DNS rebinding): for a browser
	// they are of the same origin. A service that is meant for its own host alone
	// should have some, be it just "localhost".
	Hosts []string
}

// Defaults of [Config].
const (
	DefaultMaxSize = 1 << 30
	DefaultStall   = 30 * time.Second
)

const (
	minBuffer = 4 << 10
	maxBuffer = 16 << 20

	// readAhead is how much of an upload is read from the connection at once.
	// The parser of forms reads 4 KiB at a time, which would be a system call each.
	readAhead = 32 << 10

	// formOverhead is how much may be in a form before the file, and again after it:
	// boundaries, headers, other fields. The parser holds the headers of a part in
	// memory, so this bounds what an upload can make the service hold.
	formOverhead = 64 << 10
)

// withDefaults checks c and fills in its defaults.
func (c Config) withDefaults() (Config, error) {
	c.MaxSize = cmp.Or(c.MaxSize, DefaultMaxSize)
	c.Buffer = cmp.Or(c.Buffer, DefaultBuffer)
	c.Stall = cmp.Or(c.Stall, DefaultStall)
	switch {
	case c.Dir == "":
		return c, errors.New("no Dir is given (name a directory)")
	case c.MaxSize < 0 || c.MaxSize > 1<<62:
		return c, fmt.Errorf("field MaxSize is %d bytes (want 1 to 2^62)", c.MaxSize)
	case c.Buffer < minBuffer || c.Buffer > maxBuffer:
		return c, fmt.Errorf("field Buffer is %d bytes (want %d to %d)", c.Buffer, minBuffer, maxBuffer)
	case c.Stall < 0:
		return c, fmt.Errorf("field Stall is %v (want more than 0)", c.Stall)
	}
	return c, nil
}

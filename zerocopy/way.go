package zerocopy

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is how bytes get from a file to a socket.
type Kind string

// The kinds. Those with a buffer need its size in [Way].
const (
	KindBuffer     Kind = "buffer"      // pread and write
	KindCopy       Kind = "copy"        // io.Copy, which uses sendfile
	KindCopyHidden Kind = "copy-hidden" // io.Copy with a file and a connection that hide what they are
	KindSendfile   Kind = "sendfile"    // sendfile(2); Linux
	KindMmap       Kind = "mmap"        // write(2) from a mapping; Linux
	KindZeroCopy   Kind = "zerocopy"    // pread and send(2) with MSG_ZEROCOPY; Linux
)

// MaxBuffer is the largest buffer of a [Way] in bytes.
const MaxBuffer = 64 << 20

// Way is a kind, and the size of its buffer.
type Way struct {
	Kind   Kind
	Buffer int // bytes, 1 to MaxBuffer, of KindBuffer and KindZeroCopy; 0 for others
}

// Ways are those that benchmarks compare.
func Ways() []Way {
	return []Way{
		{KindBuffer, 32 << 10},
		{KindBuffer, 128 << 10},
		{KindBuffer, 1 << 20},
		{KindCopyHidden, 0},
		{KindCopy, 0},
		{KindSendfile, 0},
		{KindMmap, 0},
		{KindZeroCopy, 64 << 10},
		{KindZeroCopy, 1 << 20},
	}
}

// hasBuffer tells whether a way of this kind has a buffer.
func (k Kind) hasBuffer() bool { return k == KindBuffer || k == KindZeroCopy }

// String is the name of a way, which [ParseWay] reads, for instance "sendfile" or
// "buffer-64KiB".
func (w Way) String() string {
	if w.Kind.hasBuffer() {
		return string(w.Kind) + "-" + FormatSize(int64(w.Buffer))
	}
	return string(w.Kind)
}

// Check returns an error for a way that there is not.
func (w Way) Check() error {
	switch w.Kind {
	case KindBuffer, KindZeroCopy:
		if w.Buffer < 1 || w.Buffer > MaxBuffer {
			return fmt.Errorf("way %s: a buffer of %d bytes (want 1 to %d)", w.Kind, w.Buffer, MaxBuffer)
		}
	case KindCopy, KindCopyHidden, KindSendfile, KindMmap:
		if w.Buffer != 0 {
			return fmt.Errorf("way %s: a buffer of %d bytes (it has none, leave it 0)", w.Kind, w.Buffer)
		}
	default:
		return fmt.Errorf("unknown way %.40q (want copy, copy-hidden, sendfile, mmap, buffer-64KiB or zerocopy-64KiB, the last two with any size)", string(w.Kind))
	}
	return nil
}

// ParseWay reads the name of a way.
func ParseWay(name string) (Way, error) {
	w := Way{Kind: Kind(name)}
	for _, kind := range []Kind{KindBuffer, KindZeroCopy} {
		size, found := strings.CutPrefix(name, string(kind)+"-")
		if !found {
			continue
		}
		n, err := ParseSize(size)
		if err != nil {
			return Way{}, fmt.Errorf("way %.40q: %w", name, err)
		}
		// A size that is too large for the type is so for Check, too.
		w = Way{Kind: kind, Buffer: int(min(n, MaxBuffer+1))}
	}
	if err := w.Check(); err != nil {
		return Way{}, err
	}
	return w, nil
}

// FormatSize writes a number of bytes as it stands in names, for instance "64KiB",
// "10MiB" or "100B": in the largest unit that it is a whole number of.
func FormatSize(n int64) string {
	switch {
	case n > 0 && n%(1<<20) == 0:
		return strconv.FormatInt(n>>20, 10) + "MiB"
	case n > 0 && n%(1<<10) == 0:
		return strconv.FormatInt(n>>10, 10) + "KiB"
	}
	return strconv.FormatInt(n, 10) + "B"
}

// ParseSize reads what [FormatSize] writes: a whole number above zero of B, KiB or
// MiB.
func ParseSize(s string) (int64, error) {
	digits, shift := strings.TrimSuffix(s, "B"), 0
	if rest, found := strings.CutSuffix(s, "KiB"); found {
		digits, shift = rest, 10
	} else if rest, found := strings.CutSuffix(s, "MiB"); found {
		digits, shift = rest, 20
	}
	n, err := strconv.ParseUint(digits, 10, 63-shift)
	if err != nil || n == 0 || digits == s {
		return 0, fmt.Errorf("size %.40q (want a whole number above zero and B, KiB or MiB, as 64KiB)", s)
	}
	return int64(n) << shift, nil
}

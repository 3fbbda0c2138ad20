package habits

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// G1: 1000 strings become messages, 100 times over. An operation is all of them.
func BenchmarkMessages(b *testing.B) {
	some := make([]string, 1000)
	for i := range some {
		some[i] = strings.Repeat("a line of a message of usual length\r\n", 1+i%8)
	}
	for _, way := range Ways() {
		b.Run("way="+way.Name+"/strings=1000/iterations=100", func(b *testing.B) {
			measured(b, func() {
				for range 100 {
					if err := way.Process(io.Discard, some); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// G1: parts become one string.
func BenchmarkJoin(b *testing.B) {
	parts := make([]string, 1000)
	for i := range parts {
		parts[i] = "a part of sixteen"[:16]
	}
	for _, joiner := range Joiners() {
		b.Run("way="+joiner.Name+"/parts=1000", func(b *testing.B) {
			length := 0
			measured(b, func() { length = len(joiner.Join(parts, ",")) })
			require.Equal(b, 17*1000-1, length)
		})
	}
}

// G2: 100,000 records at once, and in chunks of 1000 by 4 workers.
func BenchmarkRecords(b *testing.B) {
	const n = 100_000
	want := Whole(Records(n))
	for _, way := range []struct {
		name string
		do   func() (Summary, error)
	}{
		{"way=whole", func() (Summary, error) { return Whole(Records(n)), nil }},
		{"way=chunked/size=1000/workers=4", func() (Summary, error) { return Chunked(b.Context(), Records(n), Chunking{}) }},
	} {
		b.Run(way.name+"/records=100000", func(b *testing.B) {
			measured(b, func() {
				s, err := way.do()
				if err != nil || s != want {
					b.Fatalf("%+v, %v instead of %+v", s, err, want)
				}
			})
		})
	}
}

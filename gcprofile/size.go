package gcprofile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizeUnits are those of GOMEMLIMIT, the largest first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// ParseSize reads a number of bytes: "64KiB", "1.5GiB", "0".
func ParseSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n >= 0) || n*float64(unit) > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is not a size (want a number with B, KiB, MiB or GiB, for instance 256MiB)", text)
	}
	return int64(n * float64(unit)), nil
}

// FormatSize prints bytes exactly, as ParseSize reads them.
func FormatSize(bytes int64) string {
	if bytes == 0 {
		return "0"
	}
	for _, u := range sizeUnits {
		if bytes%u.bytes == 0 {
			return strconv.FormatInt(bytes/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(bytes, 10) + "B"
}

// roundSize prints bytes with three digits or so, for people.
func roundSize(bytes float64) string {
	for _, u := range sizeUnits {
		if v := bytes / float64(u.bytes); v >= 1 && u.bytes > 1 {
			return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Log10(v))), 64) + u.name
		}
	}
	return strconv.FormatFloat(bytes, 'f', 0, 64) + "B"
}

package habits

import "strings"

// A Joiner puts parts together to one string, with a separator between them.
type Joiner struct {
	Name string
	Join func(parts []string, separator string) string
}

// Joiners are those that are compared, the most careless first.
func Joiners() []Joiner {
	return []Joiner{
		{"concatenation", concatenate},
		{"builder", build},
		{"builder-grown", buildGrown},
		{"pooled-buffer", joinPooled},
		{"strings.Join", strings.Join},
	}
}

// concatenate copies what there is so far for each part: the bytes that it allocates
// grow by the square of the parts.
func concatenate(parts []string, separator string) string {
	all := ""
	for i, part := range parts {
		if i > 0 {
			all += separator
		}
		all += part
	}
	return all
}

// build lets a strings.Builder grow, which doubles it.
func build(parts []string, separator string) string {
	var b strings.Builder
	write(&b, parts, separator)
	return b.String()
}

// buildGrown tells the builder first how much it will be.
func buildGrown(parts []string, separator string) string {
	n := len(separator) * max(0, len(parts)-1)
	for _, part := range parts {
		n += len(part)
	}
	var b strings.Builder
	b.Grow(n)
	write(&b, parts, separator)
	return b.String()
}

func write(b *strings.Builder, parts []string, separator string) {
	for i, part := range parts {
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(part)
	}
}

var joinBytes Bytes

// joinPooled puts together in a buffer from a pool. The string is a copy: the buffer
// will be somebody else's.
func joinPooled(parts []string, separator string) string {
	b := joinBytes.Get()
	defer joinBytes.Put(b)
	for i, part := range parts {
		if i > 0 {
			*b = append(*b, separator...)
		}
		*b = append(*b, part...)
	}
	return string(*b)
}

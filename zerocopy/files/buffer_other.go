//go:build !linux

package files

// DefaultBuffer is the size of a block in bytes, if [Config] does not say.
const DefaultBuffer = 64 << 10

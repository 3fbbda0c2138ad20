//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package listen

// fionread asks for the number of bytes that can be read: _IOR('f', 127, int) in
// <sys/filio.h>.
const fionread = 0x4004667f

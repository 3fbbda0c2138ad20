package keeper

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
)

// FreeAddr is a loopback address whose port nobody listens on. It is none of those
// that the kernel gives to outgoing connections, so that none takes it before the
// server does.
func FreeAddr() (string, error) {
	const least, tries = 10_000, 200
	below := 32_768
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 0 {
			if n, err := strconv.Atoi(fields[0]); err == nil {
				below = n
			}
		}
	}
	for try := range tries {
		port := 0 // whichever, if there are none outside the range
		if below > least+1000 && try < tries/2 {
			port = least + rand.IntN(below-least)
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		addr := l.Addr().String()
		return addr, l.Close()
	}
	return "", errors.New("no port of 127.0.0.1 is free")
}

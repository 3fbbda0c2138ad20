package buffers

import (
	"context"
	"math"
	"net"
	"time"
)

// SocketState is what the kernel says of a TCP socket ([Stream.Socket],
// [Download.Socket]).
type SocketState struct {
	// SendBuffer and ReceiveBuffer are what getsockopt returns, in bytes. Linux
	// doubles what it is asked for, up to wmem_max and rmem_max, because it counts
	// its own bookkeeping in; where it was not asked, it is what auto-tuning has
	// arrived at.
	SendBuffer    int `json:"send_buffer"`
	ReceiveBuffer int `json:"receive_buffer"`

	NoDelay    bool   `json:"no_delay"`
	Congestion string `json:"congestion"` // name of the congestion control

	RTT           time.Duration `json:"rtt_ns"`      // as TCP has smoothed it
	Window        int64         `json:"window"`      // congestion window, bytes
	Retransmits   uint32        `json:"retransmits"` // segments sent again
	Busy          time.Duration `json:"busy_ns"`     // time with something to send or to be acknowledged
	ReceiverBound time.Duration `json:"rwnd_ns"`     // of Busy, limited by the receiver's window
	BufferBound   time.Duration `json:"sndbuf_ns"`   // of Busy, limited by the send buffer
}

// KernelLimits are the bounds of socket buffers, in bytes. Least, initial and most
// of auto-tuning; most that a program may ask for, before it is doubled.
type KernelLimits struct {
	ReceiveTuning, SendTuning [3]int // net.ipv4.tcp_rmem, tcp_wmem
	ReceiveMost, SendMost     int    // net.core.rmem_max, wmem_max
	Congestion                string // net.ipv4.tcp_congestion_control
}

// Granted is what Linux makes of SO_RCVBUF or SO_SNDBUF: twice the lesser of what is
// asked and the host's most, and not less than a least, which is 2304 bytes for
// receiving and 4608 for sending on 64-bit hosts and differs between kernels. 0 means
// that it was not asked.
func (k KernelLimits) Granted(asked int, receive bool) int {
	if asked == 0 {
		return 0
	}
	if receive {
		return 2 * min(asked, k.ReceiveMost)
	}
	return 2 * min(asked, k.SendMost)
}

// Product is the bandwidth-delay product in bytes: what is on its way on a link of a
// rate in bits per second with a round trip, when it is full. Less than that in
// either socket's buffer leaves the link idle for a part of each round trip (RFC
// 7323, section 1.1).
func Product(rate int64, roundTrip time.Duration) int64 {
	return int64(math.Ceil(float64(rate) / 8 * roundTrip.Seconds()))
}

// Ceiling is the most that a connection can carry, in bytes per second, when no more
// than window bytes may be on their way: a window each round trip. 0 for a round
// trip of 0, which bounds nothing.
func Ceiling(window int64, roundTrip time.Duration) float64 {
	if roundTrip <= 0 {
		return 0
	}
	return float64(window) / roundTrip.Seconds()
}

// listenTCP listens with the options of package models' servers.
func listenTCP(address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), "tcp", address)
}

package zerocopy

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"netbench/internal/needs"
	"netbench/internal/tcpserver"
	"netbench/testenv/link"
)

// Addresses of the ends of a veth pair, beside those of the link.
const (
	vethA = "198.19.0.1"
	vethB = "198.19.0.2"
)

// veth joins the ends of a link by a pair of virtual Ethernet devices, too: the kernel
// hands packets from the one to the other without this process. The devices end with
// the link.
func veth(t testing.TB) *link.Link {
	t.Helper()
	l, err := link.New(t.Context(), link.Config{})
	if err != nil {
		needs.Skip(t, needs.Netns, err)
	}
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	namespace, err := unix.Open(l.B().Namespace(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(namespace)
	err = l.A().Do(func() error {
		attributes := netlink.NewLinkAttrs()
		attributes.Name = "veth0"
		pair := netlink.NewVeth(attributes)
		pair.PeerName, pair.PeerNamespace = "veth1", netlink.NsFd(namespace)
		return netlink.LinkAdd(pair)
	})
	if err != nil {
		needs.Skip(t, needs.Netns, err)
	}
	require.NoError(t, l.A().Do(func() error { return bringUp("veth0", vethA) }))
	require.NoError(t, l.B().Do(func() error { return bringUp("veth1", vethB) }))
	return l
}

// bringUp gives a device of this thread's namespace an address.
func bringUp(device, addr string) error {
	d, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	address, err := netlink.ParseAddr(addr + "/30")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(d, address); err != nil {
		return err
	}
	return netlink.LinkSetUp(d)
}

// across is a connection from end A of a link to an address of end B; the sender is
// at A.
func across(t testing.TB, l *link.Link, addr string) (sender, receiver *net.TCPConn) {
	t.Helper()
	listener, err := l.A().Listen("tcp", addr+":0")
	require.NoError(t, err)
	defer listener.Close()
	return join(t, listener, func() (net.Conn, error) { return l.B().Dial(t.Context(), "tcp", listener.Addr().String()) })
}

// device is a kind of network device, and a connection over it.
type device struct {
	name      string
	near, far *net.TCPConn
}

// devices are connections over loopback, over the TUN devices of a link, and over a
// veth pair.
func devices(t testing.TB) []device {
	t.Helper()
	near, far := pair(t)
	all := []device{{"loopback", near, far}}
	l := veth(t)
	near, far = across(t, l, l.A().Addr().String())
	all = append(all, device{"TUN", near, far})
	near, far = across(t, l, vethA)
	return append(all, device{"veth", near, far})
}

// Whether the kernel copies is its own affair, but each send is counted once, and the
// flag is told.
func TestTheFlagIsToldOverEveryDevice(t *testing.T) {
	closesAll(t)
	for _, d := range devices(t) {
		counts := exchange(t, d.near, d.far, 500, 2*patience)
		assert.Equal(t, counts.Sent, counts.Completed, d.name)
		assert.LessOrEqual(t, counts.Copied, counts.Completed, d.name)
		t.Logf("%s: %d sends, %d copied all the same, %d notices, %d out of order", d.name, counts.Sent, counts.Copied, counts.Notices, counts.OutOfOrder)
	}
}

// stranded sends 8 messages over a veth pair whose far end was taken down, so that
// the device drops the packets as they are: nobody on this machine receives them. The
// connection then fails, and the kernel completes the sends.
func stranded(t testing.TB) ZeroCopyCounts {
	t.Helper()
	l := veth(t)
	near, _ := across(t, l, vethA)
	z, err := NewZeroCopyConn(near, 8, 4096)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, z.Close()) })
	failSoon(t, near)
	require.NoError(t, l.B().Do(func() error {
		d, err := netlink.LinkByName("veth1")
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(d)
	}))
	for range 8 {
		m, err := z.Take()
		require.NoError(t, err)
		_, err = z.Send(m, 4096)
		require.NoError(t, err)
	}
	require.NoError(t, near.SetDeadline(time.Now().Add(patience)))
	require.NoError(t, z.Settle(), "the kernel keeps the sends of a connection that has failed")
	return z.Counts()
}

// On loopback all is copied; here nothing is. So the flag tells the two apart.
func TestPagesThatNobodyHereReceivesAreNotCopied(t *testing.T) {
	closesAll(t)
	counts := stranded(t)
	assert.Equal(t, uint64(8), counts.Sent)
	assert.Equal(t, uint64(8), counts.Completed)
	assert.Zero(t, counts.Copied)
}

// Of two sends, the packets of the first wait for the address of a neighbour that does
// not answer, and those of the second have no route and are dropped at once. When the
// connection has failed, the second is complete, and the first is not before the kernel
// gives the neighbour up: so the kernel itself tells of completions out of order.
func TestTheKernelCompletesOutOfOrderAndOnlyThatBufferIsHandedOut(t *testing.T) {
	closesAll(t)
	l := veth(t)
	near, _ := across(t, l, vethA)
	const size = 4096
	z, err := NewZeroCopyConn(near, 2, size)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, z.Close()) })
	failSoon(t, near)
	far, err := netlink.ParseAddr(vethB + "/30")
	require.NoError(t, err)
	require.NoError(t, l.B().Do(func() error { // nobody answers for the address any more
		d, err := netlink.LinkByName("veth1")
		if err != nil {
			return err
		}
		return netlink.AddrDel(d, far)
	}))
	require.NoError(t, l.A().Do(func() error { // which the kernel asks again and again, a second apart
		return errors.Join(os.WriteFile("/proc/sys/net/ipv4/neigh/veth0/mcast_solicit", []byte("60"), 0o644), forget(far.IP))
	}))
	send := func() *Message {
		m, err := z.Take()
		require.NoError(t, err)
		n, err := z.Send(m, size)
		require.NoError(t, err)
		require.Equal(t, size, n)
		return m
	}
	first := send()
	nowhere := &netlink.Route{Dst: &net.IPNet{IP: far.IP, Mask: net.CIDRMask(32, 32)}, Type: unix.RTN_BLACKHOLE}
	require.NoError(t, l.A().Do(func() error { return netlink.RouteAdd(nowhere) }))
	second := send()

	require.NoError(t, near.SetDeadline(time.Now().Add(patience)))
	m, err := z.Take()
	require.NoError(t, err)
	assert.Same(t, second, m, "the buffer of the first send was handed out, which is under way")
	assert.NotSame(t, first, m)
	assert.Equal(t, ZeroCopyCounts{Sent: 2, Completed: 1, Notices: 1, OutOfOrder: 1}, z.Counts())
	z.Drop(m)
	require.NoError(t, l.A().Do(func() error { return forget(far.IP) }), "what waits for it is dropped")
	require.NoError(t, z.await(func() bool { return z.ledger.underWay() == 0 }))
	assert.Equal(t, ZeroCopyCounts{Sent: 2, Completed: 2, Notices: 2, OutOfOrder: 1}, z.Counts())
	assert.Len(t, z.free, 2)
}

// failSoon has a connection fail when nothing is acknowledged for a while.
func failSoon(t testing.TB, conn *net.TCPConn) {
	t.Helper()
	require.NoError(t, tcpserver.OnDescriptor(conn, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 300) // milliseconds
	}))
}

// forget removes what this thread's namespace knows of a neighbour on veth0.
func forget(ip net.IP) error {
	d, err := netlink.LinkByName("veth0")
	if err != nil {
		return err
	}
	return netlink.NeighDel(&netlink.Neigh{LinkIndex: d.Attrs().Index, Family: unix.AF_INET, IP: ip})
}

package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	deviceName = "link0"

	// What the kernel keeps for the forwarder to read. It has to outlast the time
	// that the forwarder does not run, and is not the queue of the link.
	deviceQueue = 8192 // packets
)

// openDevice makes a TUN device in the calling thread's network namespace and
// brings it and the loopback device up. The device exists while the descriptor is
// open.
func openDevice(addr netip.Prefix, mtu int) (fd int, err error) {
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, explainOpen(err)
	}
	if err = configure(fd, addr, mtu); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func explainOpen(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("link: open /dev/net/tun: %w (load the kernel module tun; give a container the device with --device /dev/net/tun)", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("link: open /dev/net/tun: %w (run as root; give a container the device with --device /dev/net/tun)", err)
	}
	return fmt.Errorf("link: open /dev/net/tun: %w", err)
}

func configure(fd int, addr netip.Prefix, mtu int) error {
	request, err := unix.NewIfreq(deviceName)
	if err != nil {
		return fmt.Errorf("link: name a TUN device %s: %w", deviceName, err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("link: make a TUN device: %w (needs CAP_NET_ADMIN)", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("link: find the loopback device: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("link: bring the loopback device up: %w", err)
	}
	tun, err := netlink.LinkByName(deviceName)
	if err != nil {
		return fmt.Errorf("link: find the TUN device %s: %w", deviceName, err)
	}
	if err := netlink.LinkSetMTU(tun, mtu); err != nil {
		return fmt.Errorf("link: set an MTU of %d: %w", mtu, err)
	}
	if err := netlink.LinkSetTxQLen(tun, deviceQueue); err != nil {
		return fmt.Errorf("link: set a device queue of %d packets: %w", deviceQueue, err)
	}
	ip := &net.IPNet{IP: addr.Addr().AsSlice(), Mask: net.CIDRMask(addr.Bits(), addr.Addr().BitLen())}
	if err := netlink.AddrAdd(tun, &netlink.Addr{IPNet: ip}); err != nil {
		return fmt.Errorf("link: give a TUN device the address %v: %w", addr, err)
	}
	if err := netlink.LinkSetUp(tun); err != nil {
		return fmt.Errorf("link: bring the TUN device up: %w", err)
	}
	return nil
}

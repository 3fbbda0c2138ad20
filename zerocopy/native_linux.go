package zerocopy

import "net"

// newNativeSender makes the senders that need Linux.
func newNativeSender(conn *net.TCPConn, way Way) (Sender, error) {
	switch way.Kind {
	case KindSendfile:
		p, err := newPumped(conn, way.Kind, PathSendfile)
		return orNil(&sendfileSender{p}, err)
	case KindMmap:
		p, err := newPumped(conn, way.Kind, PathMmap)
		return orNil(&mmapSender{p}, err)
	}
	return orNil(newZeroCopySender(conn, way))
}

// orNil makes a sender of any kind one of the interface, and a nil interface if there is
// an error.
func orNil[S Sender](s S, err error) (Sender, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

package zerocopy

import "net"

// newNativeSender makes the senders that need Linux.
func newNativeSender(conn *net.TCPConn, way Way) (Sender, error) {
	switch way.Kind {
	case KindSendfile:
		return orNil(newSendfileSender(conn))
	case KindMmap:
		return orNil(newMmapSender(conn))
	}
	return orNil(newZeroCopySender(conn, way))
}

// orNil makes a sender of any kind one of the interface, and of none a nil interface.
func orNil[S Sender](s S, err error) (Sender, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

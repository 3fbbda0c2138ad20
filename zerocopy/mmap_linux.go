package zerocopy

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mapAtOnce is how much of a file is mapped at a time, in bytes: so much that mapping
// is rare, and little beside an address space of 32 bits.
const mapAtOnce = 64 << 20

// mmapSender writes from a mapping of the file. The kernel fills the page tables when
// the mapping is made, which is cheaper than page by page as the copy comes along.
//
// Go code never touches the mapping, which would be killed by SIGBUS where the file
// has shrunk. The kernel, which does, makes an EFAULT of that, but not within the last
// page, whose rest reads as zeros. So the size is looked at once more at the end.
type mmapSender struct{ *pumped }

func (s *mmapSender) Send(f *os.File, offset, n int64) (sent int64, err error) {
	source, err := s.begin(f, offset, n)
	if err != nil {
		return 0, err
	}
	for sent < n && err == nil {
		var took int64
		took, err = s.sendMapped(source.Control, offset+sent, n-sent)
		sent += took
	}
	s.report.Bytes += sent
	if err == nil || errors.Is(err, unix.EFAULT) {
		// A truncated file that has grown again since is not noticed, nor is it by
		// any other way.
		if info, e := f.Stat(); e != nil {
			err = errors.Join(err, e)
		} else if info.Size() < offset+n {
			err = ErrShrank
		}
	}
	if err != nil {
		return sent, failed(s.Way(), f, offset, n, sent, err)
	}
	return sent, nil
}

// sendMapped maps at most n bytes of a file from offset on and sends them.
func (s *mmapSender) sendMapped(control func(func(fd uintptr)) error, offset, n int64) (sent int64, err error) {
	lead := offset % int64(unix.Getpagesize()) // mappings begin at a page
	length := int(min(lead+n, mapAtOnce))
	var mapped []byte
	var fault error
	err = control(func(fd uintptr) {
		mapped, fault = unix.Mmap(int(fd), offset-lead, length, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return 0, fmt.Errorf("map %d bytes: %w", length, err)
	}
	part := mapped[lead:]
	sent, err = s.pump.push(int64(len(part)), func(fd int, done int64, most int) (int, error) {
		return unix.Write(fd, part[done:done+int64(most)])
	})
	if e := unix.Munmap(mapped); err == nil && e != nil {
		err = fmt.Errorf("unmap %d bytes: %w", length, e)
	}
	return sent, err
}

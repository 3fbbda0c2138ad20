package results

import "github.com/prometheus/procfs"

func readSteal() (steal, total float64, ok bool) {
	fs, err := procfs.NewFS("/proc")
	if err != nil {
		return 0, 0, false
	}
	s, err := fs.Stat()
	if err != nil {
		return 0, 0, false
	}
	// Time of guests that this host runs itself is part of User and Nice.
	c := s.CPUTotal
	return c.Steal, c.User + c.Nice + c.System + c.Idle + c.Iowait + c.IRQ + c.SoftIRQ + c.Steal, true
}

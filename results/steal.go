package results

// StealMeter measures steal time: the share of the host's CPU time that the
// hypervisor gave to other guests while a run wanted it. A run that lost more
// than 5 % of its time that way is not fit to be judged.
type StealMeter struct {
	steal, total float64 // seconds since the host started
	ok           bool
	read         func() (steal, total float64, ok bool)
}

// StartSteal starts measuring.
func StartSteal() *StealMeter { return startSteal(readSteal) }

func startSteal(read func() (steal, total float64, ok bool)) *StealMeter {
	m := &StealMeter{read: read}
	m.steal, m.total, m.ok = read()
	return m
}

// Share returns steal time as a share, 0 to 1, of all CPU time of the host since
// the start. It is absent (ok is false) where the system does not count it,
// where no time has been counted yet, as the counters step by 10 ms, and where
// the counters ran backwards, as they may when a guest is moved.
func (m *StealMeter) Share() (share float64, ok bool) {
	if !m.ok {
		return 0, false
	}
	steal, total, ok := m.read()
	steal, total = steal-m.steal, total-m.total
	if !ok || steal < 0 || total <= 0 || steal > total {
		return 0, false
	}
	return steal / total, true
}

//go:build !linux

package testenv

// fillFromOS adds what the operating system knows about this process.
func fillFromOS(snap *Snapshot) error {
	var err error
	snap.Rusage, err = readRusage()
	return err
}

package testenv

import (
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/procfs"

	"netbench/internal/cpu"
	"netbench/internal/ptree"
)

// fillFromOS adds what the kernel knows about this process.
func fillFromOS(snap *Snapshot) error {
	var err error
	if snap.Rusage, err = readRusage(); err != nil {
		return err
	}
	if snap.FDs, err = countDescriptors(); err != nil {
		return err
	}
	threads, err := ptree.Threads(os.Getpid())
	if err != nil {
		return err
	}
	snap.Threads = len(threads)
	if snap.CPUs, err = cpu.Thread(0); err != nil {
		return err
	}
	self, err := procfs.Self()
	if err != nil {
		return err
	}
	// The rollup counts pages. The cheaper numbers in statm are kept per CPU
	// since Linux 6.2 and may be off by megabytes.
	maps, err := self.ProcSMapsRollup()
	if err != nil {
		return fmt.Errorf("memory of this process: %w", err)
	}
	// What getrusage says is not below the peak of whoever started this process: the
	// kernel carries it over exec, whose child has had the parent's memory till then.
	status, err := self.NewStatus()
	if err != nil {
		return fmt.Errorf("peak memory of this process: %w", err)
	}
	snap.Rusage.MaxRSS = max(status.VmHWM, maps.Rss)
	snap.Memory = &Memory{RSS: maps.Rss, PSS: maps.Pss, Anonymous: maps.Anonymous, Swap: maps.Swap}
	return nil
}

func countDescriptors() (int, error) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	names, err := dir.Readdirnames(-1)
	return len(names) - 1, errors.Join(err, dir.Close()) // less the directory itself
}

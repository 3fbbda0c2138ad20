//go:build !linux

package beforeafter

func resetPeakRSS()            {}
func peakRSS() *uint64         { return nil } // no such counter here: absent
func availableMemory() *uint64 { return nil }

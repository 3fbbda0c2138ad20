package leak

// TB is what of a test or a benchmark [Watch] needs; [testing.TB] has it.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// Watch watches a test. When it ends, after what it gave to Cleanup later than this
// was called, each finding fails it, and so does a load that was too short to judge.
// A test that watches must not be parallel to others: their growth counts, too.
func Watch(tb TB, o Options) *Detector {
	tb.Helper()
	d, err := Start(o)
	if err != nil {
		tb.Fatalf("%v", err)
		return nil
	}
	tb.Cleanup(func() {
		tb.Helper()
		r := d.Stop()
		for _, f := range r.Findings {
			tb.Errorf("%v", f)
		}
		if r.Undecided != "" {
			tb.Errorf("%s", r.Undecided)
		}
		tb.Logf("%v", r)
	})
	return d
}

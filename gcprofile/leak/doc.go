// Package leak finds what a server loses under load: goroutines that never end, memory
// that stays reachable, descriptors that nobody closes. It names where each comes from.
//
// A test that compares before and after a single call finds what that call left
// behind. Much of what kills a server after a week is neither left behind nor an error:
// a cache without a bound is in use, and is freed in order at the end. What gives it
// away is that it grows as long as there is load. So a detector samples while the load
// runs:
//
//   - goroutines by origin, the function that they run and the go statement that
//     started it, from the stacks of all;
//   - the live heap after a collection, and what each allocation site has of it, from
//     the memory profile;
//   - descriptors by what they lead to: a file, a pipe, an address, a listener.
//
// What grows is judged by a robust slope with an interval ([Trend]), a least growth, and
// the question whether it still grows at the end, so that neither noise nor a pool that
// fills up raises an alarm. After the load it compares with the time before: goroutines
// by goleak, descriptors by number. And where the toolchain has the runtime's goroutine
// leak profile, a goroutine that nothing can wake any more is a finding by itself; the
// report says whether that was so.
//
// In a test, watch, load, close:
//
//	d := leak.Watch(t, leak.Options{Interval: 50 * time.Millisecond})
//	s := startServer(t) // closed by t.Cleanup
//	drive(t, s, 5*time.Second)
//	d.EndLoad()
//
// The test fails with each leak's origin and stack. Outside of tests, [Start] gives a
// [Detector] whose Findings can be asked for while the load runs, and whose Stop gives a
// [Report]. [StartRemote] watches another process that serves net/http/pprof, by less.
//
// What to know:
//
//   - A trend needs 12 samples, so load for at least Warmup + 12 Intervals. A watch that
//     was shorter says so, and Watch fails the test.
//   - What fills up looks like a leak until it is full. Warm it up: Options.Warmup.
//   - The load has to be steady. A load that rises makes everything grow.
//   - Go does not record the types of what lives, but where it was allocated.
//   - All of the process is watched, so a client in the same process counts.
//   - It costs: a collection and all stacks per sample, and a finer memory profile. Do
//     not measure speed beside it.
package leak

// Package results keeps what was measured: it writes run files, reads them
// back, records a stream of Go benchmarks into one, and sets two side by side.
//
// # A run file
//
// A run file is Go benchmark format, so that benchstat and everything else that
// reads the output of go test -bench reads it too. On top of that it carries
// four things, in lines that other readers pass over because they begin with
// a number sign:
//
//	# netbench-run: 1                        the schema, first line of the file
//	# kernel: Linux 6.18.44                  a fact about the run
//	# warning: BenchmarkEcho-2: rate absent  a note about a benchmark
//	# netbench-end: complete results=24      the last line
//
// Facts are comments rather than configuration lines ("key: value") for a
// reason. benchstat makes a table of its own for every distinct configuration,
// so a load average or a commit there would tear two runs of one host apart,
// and so would a sysctl, which is just what somebody wants to compare. Only what
// names the platform (goos, goarch, cpu, and pkg as go test prints it), and what
// a benchmark declares to be incomparable by [ConfigLine], splits tables.
// Everything else is a fact, and [Compare] prints the facts that differ.
//
// # Whole or partial
//
// A file appears whole or is called partial: a [Writer] streams to NAME.partial,
// and Commit syncs that file, renames it to NAME and syncs the directory. What
// was interrupted, failed or killed stays NAME.partial. The last line states
// how many results there are, so a file that was cut afterwards is found out
// as well.
//
// # What is absent
//
// A fact that the host does not tell, or a metric that is not fit to be
// published, is absent: not zero, not guessed.
package results

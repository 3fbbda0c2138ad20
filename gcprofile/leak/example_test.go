package leak_test

import (
	"fmt"
	"time"

	"netbench/gcprofile/leak"
)

// sessions are never forgotten.
var sessions [][]byte

func login() { sessions = append(sessions, make([]byte, 64<<10)) }

// A detector outside of a test, which is asked while the load runs.
func ExampleStart() {
	d, err := leak.Start(leak.Options{Interval: 10 * time.Millisecond, Warmup: 10 * time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	load := time.NewTicker(time.Millisecond)
	defer load.Stop()
	for deadline := time.Now().Add(20 * time.Second); len(d.Findings()) == 0 && time.Now().Before(deadline); <-load.C {
		login()
	}
	d.EndLoad()
	for _, f := range d.Stop().Findings {
		fmt.Println(f.Kind, f.Stack[0].Func)
	}
	sessions = nil
	// Output: heap netbench/gcprofile/leak_test.login
}

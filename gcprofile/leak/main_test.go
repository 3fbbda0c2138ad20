package leak

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The test of the runtime's leak profile needs a goroutine that nothing can wake.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("netbench/gcprofile/leak.abandons.func1"))
}

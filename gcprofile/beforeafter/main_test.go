package beforeafter

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"netbench/testenv"
)

func TestMain(m *testing.M) {
	testenv.Main(nil, Role())
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

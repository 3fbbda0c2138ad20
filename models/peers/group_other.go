//go:build !linux

package peers

import (
	"fmt"
	"os/exec"

	"netbench/models"
)

func runGroup(*exec.Cmd) error {
	return fmt.Errorf("%w: the adapters of engines need Linux", models.ErrUnsupported)
}

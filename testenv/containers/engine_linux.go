package containers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// probeTimeout bounds the wait for an engine's answer. One on the same host answers
// within milliseconds, unless it hangs. A variable for the tests.
var probeTimeout = 3 * time.Second

// Engine asks the engine what it is. The error is one line, comes within 3 s, and
// wraps [ErrNoEngine].
func Engine(ctx context.Context) (EngineInfo, error) {
	c, err := connect()
	if err != nil {
		return EngineInfo{}, err
	}
	defer c.Close()
	return ask(ctx, c)
}

// connect makes a client; nothing is sent yet.
func connect() (*client.Client, error) {
	c, err := client.New(client.FromEnv)
	if err != nil {
		// The client's error quotes the address, which may hold a password.
		return nil, fmt.Errorf("%w: the client takes none of DOCKER_HOST and what belongs to it (set it as in unix:///var/run/docker.sock, or unset it)", ErrNoEngine)
	}
	return c, nil
}

func ask(ctx context.Context, c *client.Client) (EngineInfo, error) {
	bounded, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	host := shown(c.DaemonHost())
	res, err := c.Info(bounded, client.InfoOptions{})
	switch {
	case ctx.Err() != nil:
		return EngineInfo{}, fmt.Errorf("%w at %s: %w", ErrNoEngine, host, ctx.Err())
	case bounded.Err() != nil:
		return EngineInfo{}, fmt.Errorf("%w at %s: nothing came within %v, it hangs", ErrNoEngine, host, probeTimeout)
	case err != nil:
		// The client's error has the address as it is.
		said := strings.ReplaceAll(oneLine(err).Error(), c.DaemonHost(), host)
		return EngineInfo{}, fmt.Errorf("%w at %s: %s (start it, or set DOCKER_HOST)", ErrNoEngine, host, said)
	case res.Info.OSType != "linux":
		return EngineInfo{}, fmt.Errorf("%w at %s: it runs containers of %q (want linux)", ErrNoEngine, host, res.Info.OSType)
	}
	e := EngineInfo{Host: host, raw: c.DaemonHost(), Version: res.Info.ServerVersion, Arch: goArch(res.Info.Architecture), Cgroups: res.Info.CgroupVersion}
	why := func(what string) string {
		text := fmt.Sprintf("the engine finds no %s in control groups of version %s, driver %s", what, e.Cgroups, res.Info.CgroupDriver)
		if len(res.Info.Warnings) > 0 {
			text += ": " + strings.Join(res.Info.Warnings, "; ")
		}
		return text
	}
	if !res.Info.CPUCfsQuota || !res.Info.CPUCfsPeriod {
		e.NoCPULimit = why("CPU quota")
	}
	if !res.Info.MemoryLimit {
		e.NoMemoryLimit = why("memory limit")
	}
	return e, nil
}

// goArch is the name that Go has for an architecture of uname.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}

// shown is an engine's address without a password.
func shown(host string) string {
	u, err := url.Parse(host)
	if err != nil {
		return "an address that does not parse"
	}
	return u.Redacted()
}

// oneLine makes the text of an error one line.
func oneLine(err error) error {
	if err == nil || !strings.ContainsAny(err.Error(), "\r\n") {
		return err
	}
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}

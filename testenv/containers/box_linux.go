package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"

	"netbench/internal/cpu"
)

const (
	// createTimeout bounds the making of a container, which is not interrupted: the
	// engine could go on with it when nobody knows any more.
	createTimeout = 10 * time.Second

	// removeTimeout bounds its removal.
	removeTimeout = 10 * time.Second

	// removePause is the time between two looks whether it is removed.
	removePause = 10 * time.Millisecond
)

// ownerLabel is the label of every container with the id of the process that it is
// for.
const ownerLabel = "netbench.owner"

// plan says which container to make. It travels to the process that holds it.
type plan struct {
	Owner    int // see ownerLabel
	Image    string
	User     string   // name or number, "" for the image's
	Command  []string // in place of the image's entrypoint
	Env      []string // "NAME=value"
	CPUs     []int    // that it runs on, empty for all
	Limits   Limits
	HostPIDs bool   // share the host's process ids
	Files    uint64 // descriptors of a process
	Shared   int64  // bytes of /dev/shm, 0 for the engine's default
}

// request is the plan in the terms of the library.
func (p plan) request() testcontainers.ContainerRequest {
	env := map[string]string{}
	for _, v := range p.Env {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	return testcontainers.ContainerRequest{
		Image: p.Image, Entrypoint: p.Command, Env: env,
		Labels: map[string]string{ownerLabel: strconv.Itoa(p.Owner)},
		ConfigModifier: func(c *container.Config) {
			c.User = p.User
			// The end of the one attached connection is the end of its input.
			c.OpenStdin, c.StdinOnce = true, true
			c.AttachStdin, c.AttachStdout, c.AttachStderr = true, true, true
		},
		HostConfigModifier: func(h *container.HostConfig) {
			h.NetworkMode = "host"
			h.AutoRemove = true
			h.LogConfig = container.LogConfig{Type: "none"} // what it writes comes to us
			h.ShmSize = p.Shared
			if p.HostPIDs {
				h.PidMode = "host"
			}
			if len(p.CPUs) > 0 {
				h.CpusetCpus = cpu.Format(p.CPUs)
			}
			h.NanoCPUs = int64(p.Limits.CPUs * 1e9)
			h.Memory, h.MemorySwap = p.Limits.Memory, p.Limits.Memory // no swap beside
			if p.Files > 0 {
				h.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: int64(p.Files), Hard: int64(p.Files)}}
			}
		},
	}
}

// box is a container, seen from the process that holds it.
type box struct {
	client client.APIClient
	id     string
	pid    int // of its first process, as the host counts

	in    io.Writer     // its standard input
	ended chan struct{} // closed when it has ended and all that it wrote is copied
	code  int64         // its exit status then, -1 if that is not known

	attached client.HijackedResponse
	once     sync.Once
	failed   error // of the removal
}

// newBox makes a container, attaches to it and starts it. What it writes is copied
// to the writers. If the error is not nil, nothing of it is left.
func newBox(p plan, stdout, stderr io.Writer) (*box, error) {
	provider, err := newProvider()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), createTimeout)
	defer cancel()
	made, err := provider.CreateContainer(ctx, p.request())
	b := &box{client: provider.Client(), ended: make(chan struct{}), code: -1}
	if made != nil {
		b.id = made.GetContainerID()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a container of %s: %w", p.Image, oneLine(err)), b.remove())
	}
	if err := b.start(ctx, made, stdout, stderr); err != nil {
		return nil, errors.Join(fmt.Errorf("start a container of %s: %w", p.Image, oneLine(err)), b.remove())
	}
	return b, nil
}

// newProvider is the library's way to the engine.
func newProvider() (*testcontainers.DockerProvider, error) {
	// Its own reaper would be a container more, of an image that may not be there.
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		return nil, err
	}
	log.SetDefault(log.NewNoopLogger())
	// It makes a network of its own where the default one is missing, as it may be:
	// "host" is always there.
	provider, err := testcontainers.NewDockerProvider(testcontainers.WithDefaultBridgeNetwork("host"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoEngine, oneLine(err))
	}
	return provider, nil
}

func (b *box) start(ctx context.Context, made testcontainers.Container, stdout, stderr io.Writer) error {
	attached, err := b.client.ContainerAttach(ctx, b.id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return err
	}
	b.in, b.attached = attached.Conn, attached.HijackedResponse
	wait := b.client.ContainerWait(context.Background(), b.id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if err := made.Start(ctx); err != nil {
		return err
	}
	go func() {
		defer close(b.ended)
		_, _ = stdcopy.StdCopy(stdout, stderr, attached.Reader) // its end is what counts
		select {
		case r := <-wait.Result:
			b.code = r.StatusCode
		case <-wait.Error:
		case <-time.After(removeTimeout):
		}
	}()
	found, err := b.client.ContainerInspect(ctx, b.id, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) || err == nil && !found.Container.State.Running {
		return nil // it has ended already, which is for others to judge
	}
	if err != nil {
		return err
	}
	b.pid = found.Container.State.Pid
	return b.local()
}

// local is an error unless the container's processes are among those of this host.
func (b *box) local() error {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(b.pid) + "/cgroup")
	if err != nil {
		select {
		case <-b.ended:
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
	if err != nil || !strings.Contains(string(text), b.id) {
		return fmt.Errorf("its process %d is none of this host (the engine has to run here, and not in a container)", b.pid)
	}
	return nil
}

// remove ends the container at once and returns when nothing of it is left.
func (b *box) remove() error {
	b.once.Do(func() {
		if b.id == "" {
			return
		}
		if b.attached.Conn != nil {
			defer b.attached.Close()
		}
		ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
		defer cancel()
		for {
			_, err := b.client.ContainerRemove(ctx, b.id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			if errdefs.IsNotFound(err) {
				return
			}
			if ctx.Err() != nil {
				b.failed = fmt.Errorf("container %.12s is left: %w", b.id, oneLine(errors.Join(err, ctx.Err())))
				return
			}
			// Removed, or about to be by the engine itself: look again.
			select {
			case <-ctx.Done():
			case <-time.After(removePause):
			}
		}
	})
	return b.failed
}

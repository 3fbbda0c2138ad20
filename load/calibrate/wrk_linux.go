package calibrate

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netbench/internal/cpu"
	"netbench/load"
)

// findWrk returns the path of wrk, or why there is none.
func findWrk() (path, reason string) {
	path, err := exec.LookPath("wrk")
	if err != nil {
		return "", "wrk is not in PATH (on Debian: apt-get install wrk), so nothing was measured beside it"
	}
	return path, ""
}

// wrkRound drives the generator and wrk for one block each, on the same server.
func (s *setup) wrkRound(ctx context.Context, wrk string, server Server, n int) (*Round, error) {
	r := &Round{OursFirst: n%2 == 0}
	url := "http://" + server.Addr() + "/plaintext"
	blocks := []func() error{
		func() error { return s.ourBlock(ctx, url, &r.Ours) },
		func() error { return s.wrkBlock(ctx, wrk, url, &r.Theirs) },
	}
	if !r.OursFirst {
		blocks[0], blocks[1] = blocks[1], blocks[0]
	}
	for _, block := range blocks {
		if err := block(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// ourBlock charges the generator what a process of its own would be charged,
// but for its start: all CPU time of this process from before the first dial to
// after the last close.
func (s *setup) ourBlock(ctx context.Context, url string, out *Sample) error {
	plan, err := s.plan(ctx, url, &Cell{Conns: wrkConns})
	if err != nil {
		return err
	}
	before, err := ownCPU()
	if err != nil {
		return err
	}
	session, err := load.Dial(ctx, plan)
	if err != nil {
		return err
	}
	r, err := session.Run(ctx, load.Span{Duration: s.Block})
	session.Close()
	if err != nil {
		return err
	}
	after, err := ownCPU()
	if err != nil {
		return err
	}
	if err := fault(r); err != nil {
		return err
	}
	out.add(r.Requests, int64(after-before), int64(r.Duration*1e9))
	if r.Latency != nil && r.Latency.P50 != nil {
		out.P50 = *r.Latency.P50
	}
	return nil
}

// ownCPU is the CPU time that this process has used, in the account that the
// kernel also gives of ended children.
func ownCPU() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("CPU time of this process: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

func (s *setup) wrkBlock(ctx context.Context, wrk, url string, out *Sample) error {
	ctx, cancel := context.WithTimeout(ctx, s.Block+15*time.Second)
	defer cancel()
	seconds := int(s.Block / time.Second)
	cmd := exec.CommandContext(ctx, wrk, "-t1", "-c"+strconv.Itoa(wrkConns), fmt.Sprintf("-d%ds", seconds), url)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second
	if err := cpu.RunOn(s.cpus, cmd.Start); err != nil {
		return fmt.Errorf("start wrk: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("wrk: %w: %s", err, strings.TrimSpace(said.String()))
	}
	requests, elapsed, err := parseWrk(said.String())
	if err != nil {
		return err
	}
	out.add(requests, int64(cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()), int64(elapsed))
	return nil
}

var wrkTotal = regexp.MustCompile(`(?m)^\s*(\d+) requests in ([0-9.]+)(us|ms|s|m), `)

// parseWrk reads what wrk 4 prints at its end. Any failure that it reports is an
// error.
func parseWrk(said string) (requests int64, elapsed time.Duration, err error) {
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "Socket errors:") || strings.HasPrefix(line, "Non-2xx") {
			return 0, 0, fmt.Errorf("wrk reports %q", line)
		}
	}
	m := wrkTotal.FindStringSubmatch(said)
	if m == nil {
		return 0, 0, fmt.Errorf("wrk did not say how many requests it made, but %q", said)
	}
	requests, err = strconv.ParseInt(m[1], 10, 64)
	if err != nil || requests == 0 {
		return 0, 0, fmt.Errorf("wrk made %s requests", m[1])
	}
	elapsed, err = time.ParseDuration(m[2] + m[3])
	if err != nil || elapsed <= 0 {
		return 0, 0, fmt.Errorf("wrk ran for %s%s", m[2], m[3])
	}
	return requests, elapsed, nil
}

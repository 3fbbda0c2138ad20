package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"netbench/internal/proc"
	"netbench/internal/profiles"
	"netbench/models"
)

// Operations of a server's process that take its profiles.
const (
	opBeginProfiles = "begin-profiles"
	opEndProfiles   = "end-profiles"
)

// profiling is the argument of opBeginProfiles.
type profiling struct {
	Dir   string          `json:"dir"`
	Kinds []profiles.Kind `json:"kinds"`
}

// handleProfiles makes the server answer for its profiles. At its end drop removes what
// was begun and not ended: whoever asked for it is gone.
func handleProfiles(ch *proc.Channel, server models.Server) (drop func() error) {
	var mu sync.Mutex
	var recording *profiles.Recording
	ch.Handle(opBeginProfiles, func(_ context.Context, arg json.RawMessage) (any, error) {
		var p profiling
		if err := json.Unmarshal(arg, &p); err != nil {
			return nil, err
		}
		if _, several := server.(Family); several {
			return nil, errors.New("the server has several processes, and profiles are of one (choose a model of one process)")
		}
		mu.Lock()
		defer mu.Unlock()
		begun, err := profiles.Begin(p.Dir, p.Kinds)
		if err != nil {
			return nil, err
		}
		recording = begun
		return nil, nil
	})
	ch.Handle(opEndProfiles, func(context.Context, json.RawMessage) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		if recording == nil {
			return nil, errors.New("no profiles are being taken (begin first)")
		}
		ending := recording
		recording = nil
		return nil, ending.End()
	})
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if recording == nil {
			return nil
		}
		return recording.Discard()
	}
}

// BeginProfiles makes the server take profiles of its own process, until EndProfiles
// writes them into dir, which has to exist. What is measured meanwhile is not fit to be
// published. It is an error where a server cannot: one of another make, of several
// processes, or with other files than this process.
func (s *Server) BeginProfiles(ctx context.Context, dir string, kinds ...profiles.Kind) error {
	switch {
	case s.foreign:
		return errors.New("take profiles: the server is of another make, and cannot be told to (profile it with its own means)")
	case s.pid != s.child.PID():
		return errors.New("take profiles: the server is carried elsewhere, and has other files than this process")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("take profiles: %w", err)
	}
	return s.child.Call(ctx, opBeginProfiles, profiling{Dir: dir, Kinds: kinds}, nil)
}

// EndProfiles completes what BeginProfiles began: when it returns, the files are there,
// whole, by the names of [profiles.Kind.FileName].
func (s *Server) EndProfiles(ctx context.Context) error {
	return s.child.Call(ctx, opEndProfiles, nil, nil)
}

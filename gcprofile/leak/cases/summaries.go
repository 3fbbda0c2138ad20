package cases

import (
	"bytes"
	"context"
	"strings"
	"sync"
)

const (
	summaries     = 1000 // are kept, the latest
	summaryLength = 64   // bytes
)

// ring keeps the latest of some things.
type ring[T any] struct {
	kept []T
	next int
}

func (r *ring[T]) put(v T, most int) {
	if len(r.kept) < most {
		r.kept = append(r.kept, v)
		return
	}
	r.kept[r.next%most] = v
	r.next++
}

// texts reads documents and keeps the heads of them.
type texts struct {
	payload int
	cured   bool

	mu    sync.Mutex
	heads ring[string]
}

func newTexts(s Size, cured bool) (Component, error) {
	return &texts{payload: s.Payload, cured: cured}, nil
}

func (s *texts) Do(context.Context) error {
	document := strings.Repeat("0123456789abcdef", s.payload/16)
	head := document[:summaryLength]
	if s.cured {
		head = strings.Clone(head)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads.put(head, summaries)
	return nil
}

func (s *texts) Close() error { return nil }

// frames reads messages and keeps their headers.
type frames struct {
	payload int
	cured   bool

	mu      sync.Mutex
	headers ring[[]byte]
}

func newFrames(s Size, cured bool) (Component, error) {
	return &frames{payload: s.Payload, cured: cured}, nil
}

func (f *frames) Do(context.Context) error {
	message := make([]byte, f.payload)
	message[0] = 1
	header := message[:summaryLength]
	if f.cured {
		header = bytes.Clone(header)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.headers.put(header, summaries)
	return nil
}

func (f *frames) Close() error { return nil }

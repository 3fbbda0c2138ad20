package services

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// server is what servers have, of whatever service.
type server struct {
	body body
	info Info
}

func (s *server) base() *server { return s }

// reached is a server that is known by its address.
type reached interface {
	base() *server

	// inspect asks the server for its version and settings.
	inspect(ctx context.Context) error
}

// askedFor is the rung of a given address: the caller's, or else that of the variable.
func askedFor[S reached](ctx context.Context, address, variable string, permit func(addr string) error, at func(address string) (S, error)) (S, string, error) {
	var none S
	source := "the given address"
	if address == "" {
		address, source = os.Getenv(variable), variable
	}
	if address == "" {
		return none, "", absence(variable + " is not set")
	}
	s, err := at(address)
	if err != nil {
		return none, "", fmt.Errorf("%s: %w", source, err)
	}
	addr := s.base().info.Addr
	if permit != nil {
		if err := permit(addr); err != nil {
			return none, "", fmt.Errorf("%s: %w", source, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := s.inspect(ctx); err != nil {
		return none, "", fmt.Errorf("%s: %s: %w", source, addr, err)
	}
	s.base().body = elsewhere{}
	return s, source + " is set", nil
}

// inContainer is the rung of containers.
func inContainer[S reached](ctx context.Context, start func(Containers) (Contained, error), at func(address string) (S, error)) (S, string, error) {
	var none S
	engine, err := engine()
	if err != nil {
		return none, "", err
	}
	c, err := start(engine)
	if err != nil {
		return none, "", err
	}
	s, err := at(c.Address)
	if err == nil {
		s.base().body = contained{c}
		asking, cancel := context.WithTimeout(ctx, answerTimeout)
		err = s.inspect(asking)
		cancel()
	}
	if err != nil {
		return none, "", errors.Join(err, c.Stop(context.WithoutCancel(ctx)))
	}
	return s, c.Found, nil
}

package goroutine

import (
	"netbench/models"
	"netbench/models/internal/listen"
)

// open opens the listener that cfg, which is valid, asks for.
func open(cfg models.Config) (listen.Listener, error) {
	if cfg.Listeners > 1 {
		return nil, listen.Unsupported(&models.ConfigError{
			Field: "Listeners", Value: cfg.Listeners,
			Want: "1: this model listens once, the reuseport model shares an address",
		})
	}
	return listen.Open(cfg, listen.Options{Model: Name})
}

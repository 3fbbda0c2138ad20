package modeltest

import (
	"errors"
	"net"

	"netbench/models"
)

var setupRules = []rule{
	{
		name:     "listens",
		doc:      "Once the factory has returned, the address is final and the kernel accepts connections, which are served as soon as Serve runs.",
		check:    checkListens,
		networks: true,
	},
	{
		name:  "config-errors",
		doc:   "A bad configuration is refused by the factory with a *models.ConfigError that names the field, and leaves no descriptor.",
		check: checkConfigErrors,
		alone: true,
	},
	{
		name:     "address-in-use",
		doc:      "An address that somebody else listens on is an error of the factory.",
		check:    checkAddressInUse,
		networks: true,
	},
}

func checkListens(p *probe) {
	s := p.make(p.config(echo{}))
	if s.Addr() == nil {
		p.fatalf("Addr is nil before Serve")
	}
	if a, ok := s.Addr().(*net.TCPAddr); ok && a.Port == 0 {
		p.fatalf("Addr is %v before Serve, want the port that the kernel chose", a)
	}
	address := s.Addr().String()
	early := p.dial(s)
	early.send([]byte("first"))
	if !early.silent(aWhile / 5) {
		p.fatalf("a connection was answered or closed before Serve was called")
	}
	s.serve()
	early.expect([]byte("first"))
	if now := s.Addr().String(); now != address {
		p.Errorf("Addr was %s before Serve and is %s now", address, now)
	}
	if s.Stats().Model == "" {
		p.Errorf("Stats.Model is empty, want the model's name")
	}
}

func checkConfigErrors(p *probe) {
	before := takeInventory()
	for field, spoil := range map[string]func(*models.Config){
		"Network":     func(c *models.Config) { c.Network = "udp" },
		"Address":     func(c *models.Config) { c.Network, c.Address = "tcp", "nonsense" },
		"Service":     func(c *models.Config) { c.Service = nil },
		"ReadBuffer":  func(c *models.Config) { c.ReadBuffer = -1 },
		"Loops":       func(c *models.Config) { c.Loops = -1 },
		"Listeners":   func(c *models.Config) { c.Listeners = -1 },
		"Backlog":     func(c *models.Config) { c.Backlog = -1 },
		"NoDelay":     func(c *models.Config) { c.NoDelay = models.Off + 1 },
		"RecvBuffer":  func(c *models.Config) { c.RecvBuffer = -1 },
		"SendBuffer":  func(c *models.Config) { c.SendBuffer = -1 },
		"MaxConns":    func(c *models.Config) { c.MaxConns = -2 },
		"OnLimit":     func(c *models.Config) { c.OnLimit = models.Reject + 1 },
		"IdleTimeout": func(c *models.Config) { c.IdleTimeout = 1 },
		"MaxPending":  func(c *models.Config) { c.MaxPending = -1 },
	} {
		c := p.config(echo{})
		spoil(&c)
		s, err := p.factory(c)
		if err == nil {
			p.Errorf("a bad %s is accepted, want a *models.ConfigError", field)
			if s != nil {
				p.within("Close", func() { _ = s.Close() })
			}
			continue
		}
		var named *models.ConfigError
		if !errors.As(err, &named) {
			p.Errorf("a bad %s is refused with %q, want a *models.ConfigError", field, err)
		} else if named.Field != field {
			p.Errorf("a bad %s is refused with an error about %s: %v", field, named.Field, err)
		}
	}
	before.compare(p)
}

func checkAddressInUse(p *probe) {
	c := p.config(echo{})
	occupant, err := net.Listen(c.Network, c.Address)
	if err != nil {
		p.fatalf("listen: %v", err)
	}
	p.cleanup(func() { _ = occupant.Close() })
	c.Address = occupant.Addr().String()
	s, err := p.factory(c)
	if err == nil {
		p.within("Close", func() { _ = s.Close() })
		p.fatalf("%s is listened on by somebody else, but the factory returns a server with address %v", c.Address, s.Addr())
	}
}

package models_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

func TestValidateFillsInDefaults(t *testing.T) {
	got, err := models.Config{Service: models.Echo{}}.Validate()
	require.NoError(t, err)
	assert.Equal(t, models.Config{
		Network:     "tcp",
		Address:     "127.0.0.1:0",
		Service:     models.Echo{},
		ReadBuffer:  4096,
		Listeners:   1,
		MaxConns:    10_000,
		IdleTimeout: 30 * time.Second,
		MaxPending:  64 << 10,
	}, got)

	got, err = models.Config{Service: models.Echo{}, Network: "tcp6"}.Validate()
	require.NoError(t, err)
	assert.Equal(t, "[::1]:0", got.Address)
}

func TestValidateKeepsWhatIsAskedFor(t *testing.T) {
	asked := models.Config{
		Network: "tcp4", Address: "127.0.0.2:4000", Service: models.Echo{},
		ReadBuffer: 16 << 20, Loops: 1024, Listeners: 1024, Backlog: 65535, NoDelay: models.Off,
		RecvBuffer: 1 << 30, SendBuffer: 1, MaxConns: models.NoLimit, OnLimit: models.Reject,
		IdleTimeout: models.NoLimit, MaxPending: 1,
	}
	got, err := asked.Validate()
	require.NoError(t, err)
	assert.Equal(t, asked, got)

	again, err := got.Validate()
	require.NoError(t, err)
	assert.Equal(t, got, again, "a valid configuration is valid as it is")
}

func TestValidateNamesTheFieldThatIsBad(t *testing.T) {
	for _, c := range []struct {
		field string
		names string // what the message has to say besides the field
		spoil func(*models.Config)
	}{
		{"Network", `"udp"`, func(c *models.Config) { c.Network = "udp" }},
		{"Address", `"localhost"`, func(c *models.Config) { c.Address = "localhost" }},
		{"Address", "path", func(c *models.Config) { c.Network = "unix" }},
		{"Address", "107", func(c *models.Config) { c.Network, c.Address = "unix", strings.Repeat("a", 108) }},
		{"Service", "Echo", func(c *models.Config) { c.Service = nil }},
		{"ReadBuffer", "-1", func(c *models.Config) { c.ReadBuffer = -1 }},
		{"ReadBuffer", "16777217", func(c *models.Config) { c.ReadBuffer = 16<<20 + 1 }},
		{"Loops", "-1", func(c *models.Config) { c.Loops = -1 }},
		{"Loops", "1025", func(c *models.Config) { c.Loops = 1025 }},
		{"Listeners", "-1", func(c *models.Config) { c.Listeners = -1 }},
		{"Listeners", "1025", func(c *models.Config) { c.Listeners = 1025 }},
		{"Backlog", "-1", func(c *models.Config) { c.Backlog = -1 }},
		{"Backlog", "65536", func(c *models.Config) { c.Backlog = 65536 }},
		{"NoDelay", "3", func(c *models.Config) { c.NoDelay = 3 }},
		{"RecvBuffer", "-1", func(c *models.Config) { c.RecvBuffer = -1 }},
		{"RecvBuffer", "1073741825", func(c *models.Config) { c.RecvBuffer = 1<<30 + 1 }},
		{"SendBuffer", "-1", func(c *models.Config) { c.SendBuffer = -1 }},
		{"SendBuffer", "1073741825", func(c *models.Config) { c.SendBuffer = 1<<30 + 1 }},
		{"MaxConns", "-2", func(c *models.Config) { c.MaxConns = -2 }},
		{"MaxConns", "NoLimit", func(c *models.Config) { c.MaxConns = math.MinInt }},
		{"OnLimit", "2", func(c *models.Config) { c.OnLimit = 2 }},
		{"IdleTimeout", "1ms", func(c *models.Config) { c.IdleTimeout = time.Millisecond - 1 }},
		{"IdleTimeout", "-1s", func(c *models.Config) { c.IdleTimeout = -time.Second }},
		{"MaxPending", "-1", func(c *models.Config) { c.MaxPending = -1 }},
		{"MaxPending", "1073741825", func(c *models.Config) { c.MaxPending = 1<<30 + 1 }},
	} {
		t.Run(c.field+" "+c.names, func(t *testing.T) {
			config := models.Config{Service: models.Echo{}}
			c.spoil(&config)
			_, err := config.Validate()
			var bad *models.ConfigError
			require.ErrorAs(t, err, &bad)
			assert.Equal(t, c.field, bad.Field)
			assert.Contains(t, err.Error(), "Config."+c.field)
			assert.Contains(t, err.Error(), c.names)
			assert.Contains(t, err.Error(), "want")
		})
	}
}

func TestConfigCarriesOverJSONWithoutItsService(t *testing.T) {
	sent := models.Config{
		Network: "tcp4", Address: "127.0.0.1:0", Service: models.HTTP{Now: fixed},
		ReadBuffer: 1, Loops: 2, Listeners: 3, Backlog: 4, NoDelay: models.Off, RecvBuffer: 5, SendBuffer: 6,
		MaxConns: 7, OnLimit: models.Reject, IdleTimeout: 8 * time.Second, MaxPending: 9,
	}
	wire, err := json.Marshal(sent)
	require.NoError(t, err)
	var got models.Config
	require.NoError(t, json.Unmarshal(wire, &got))
	sent.Service = nil
	assert.Equal(t, sent, got)
}

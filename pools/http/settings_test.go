package httppool_test

import (
	"crypto/tls"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	httppool "netbench/pools/http"
)

func TestRecommendedSettingsAreInTheTransport(t *testing.T) {
	s := httppool.Recommended()
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	require.NoError(t, s.Validate())
	assert.Empty(t, s.Inert())
	assert.Equal(t, 30*time.Second, s.Timeout)
	assert.Equal(t, 10*time.Second, s.DialTimeout)
	transport, err := s.Transport()
	require.NoError(t, err)
	assert.Equal(t, 100, transport.MaxIdleConns)
	assert.Equal(t, 20, transport.MaxIdleConnsPerHost)
	assert.Equal(t, 50, transport.MaxConnsPerHost)
	assert.Equal(t, 90*time.Second, transport.IdleConnTimeout)
	assert.Equal(t, 10*time.Second, transport.TLSHandshakeTimeout)
	assert.Equal(t, 10*time.Second, transport.ResponseHeaderTimeout)
	assert.Equal(t, time.Second, transport.ExpectContinueTimeout)
	assert.True(t, transport.ForceAttemptHTTP2)
	assert.False(t, transport.DisableCompression)
	assert.Equal(t, uint16(tls.VersionTLS13), transport.TLSClientConfig.MinVersion)
	assert.NotSame(t, s.TLS, transport.TLSClientConfig)
}

func TestSettingsThatAreNotPermittedAreNamed(t *testing.T) {
	for _, c := range []struct {
		field  string
		change func(*httppool.Settings)
		says   string
	}{
		{"MaxIdleConns", func(s *httppool.Settings) { s.MaxIdleConns = -1 }, "is -1 (want 0 for no limit, or up to 65536)"},
		{"MaxIdleConns", func(s *httppool.Settings) { s.MaxIdleConns = 1 << 20 }, "is 1048576 (want"},
		{"MaxIdleConnsPerHost", func(s *httppool.Settings) { s.MaxIdleConnsPerHost = 0 }, "net/http would take 0 for 2"},
		{"MaxConnsPerHost", func(s *httppool.Settings) { s.MaxConnsPerHost = -5 }, "is -5"},
		{"IdleConnTimeout", func(s *httppool.Settings) { s.IdleConnTimeout = -1 }, "is -1ns (want a time above 0, or 0 for no limit)"},
		{"DialTimeout", func(s *httppool.Settings) { s.DialTimeout = 0 }, "is 0s (want a time above 0)"},
		{"TLSHandshakeTimeout", func(s *httppool.Settings) { s.TLSHandshakeTimeout = -time.Second }, "is -1s (want a time above 0)"},
		{"ResponseHeaderTimeout", func(s *httppool.Settings) { s.ResponseHeaderTimeout = -1 }, "0 for none"},
		{"ExpectContinueTimeout", func(s *httppool.Settings) { s.ExpectContinueTimeout = -1 }, "0 for no waiting"},
		{"Timeout", func(s *httppool.Settings) { s.Timeout = -1 }, "0 for none"},
	} {
		s := httppool.Recommended()
		c.change(&s)
		_, err := httppool.New(s)
		var setting *httppool.SettingError
		require.ErrorAs(t, err, &setting, c.field)
		assert.Equal(t, c.field, setting.Field)
		assert.ErrorContains(t, err, "http pool: "+c.field+" ")
		assert.ErrorContains(t, err, c.says)
		_, err = httppool.NewKind("http://127.0.0.1/", s)
		assert.ErrorAs(t, err, &setting, "a kind refuses them as well")
	}
	_, err := httppool.New(httppool.Settings{})
	assert.Error(t, err, "the zero value")
}

func TestNoLimitIsPermittedWhereItHasAMeaning(t *testing.T) {
	s := httppool.Recommended()
	s.MaxIdleConns, s.MaxConnsPerHost, s.IdleConnTimeout, s.ResponseHeaderTimeout, s.ExpectContinueTimeout, s.Timeout = 0, 0, 0, 0, 0, 0
	assert.NoError(t, s.Validate())
	assert.Empty(t, s.Inert())
}

func TestInertSettingsAreTold(t *testing.T) {
	for _, c := range []struct {
		change func(*httppool.Settings)
		want   string
	}{
		{func(s *httppool.Settings) { s.MaxIdleConnsPerHost = 51 }, "MaxIdleConnsPerHost 51: MaxConnsPerHost lets a host have 50"},
		{func(s *httppool.Settings) { s.MaxIdleConns = 10 }, "MaxIdleConnsPerHost 20: MaxIdleConns keeps 10"},
		{func(s *httppool.Settings) { s.DisableKeepAlives = true }, "DisableKeepAlives lets no connection become idle"},
		{func(s *httppool.Settings) { s.DialTimeout = time.Minute }, "DialTimeout 1m0s: Timeout ends a request after 30s"},
		{func(s *httppool.Settings) { s.ResponseHeaderTimeout = time.Minute }, "ResponseHeaderTimeout"},
	} {
		s := httppool.Recommended()
		c.change(&s)
		require.NoError(t, s.Validate())
		require.Len(t, s.Inert(), 1)
		assert.Contains(t, s.Inert()[0], c.want)
	}
	s := httppool.Recommended()
	s.DisableKeepAlives, s.MaxIdleConnsPerHost = true, 1000
	assert.Len(t, s.Inert(), 1, "said once: %s", strings.Join(s.Inert(), "; "))
}

func TestATransportThatCannotBeCountedIsRefused(t *testing.T) {
	_, err := httppool.Around(&nethttp.Transport{DialTLSContext: (&tls.Dialer{}).DialContext}, 0)
	assert.ErrorContains(t, err, "DialTLSContext")
	_, err = httppool.Around(&nethttp.Transport{}, -1)
	var setting *httppool.SettingError
	require.ErrorAs(t, err, &setting)
	assert.Equal(t, "Timeout", setting.Field)
}
